"""Files beside a corpus that are not among its documents: cards, licences, lists of files."""

import re

# Names in any case, followed by an ending or nothing.
DOCUMENT_NAMES = (
    r"read[-_ ]?me|licen[cs]e|copying|change[-_]?log|contributing|contributors|citation|"
    r"code[-_]of[-_]conduct|(data(set)?|model)[-_ ]?card|data[-_]?sheet|"
    r"third[-_]party[-_]notices?|acknowledge?ments"
)
# Names that mean a card only in capitals, and may have more words after them.
CAPITALS = (
    r"READ[-_]?ME|LICEN[CS]ES?|COPYING|COPYRIGHT|UNLICENSE|NOTICES?|AUTHORS|CREDITS|CHANGE[-_]?LOG|CHANGES|HISTORY|"
    r"RELEASE[-_]?NOTES|CONTRIBUTING|CONTRIBUTORS|CITATIONS?|SECURITY|TERMS|DISCLAIMER|PATENTS|MAINTAINERS|"
    r"CODE[-_]OF[-_]CONDUCT|(DATA(SET)?|MODEL)[-_]?CARD|DATA[-_]?SHEET|SHA(1|256|512)SUMS?|MD5SUMS?|CHECKSUMS?"
)
DOCUMENT_ENDING = r"(\.(txt|text|md|markdown|mdx|rst|html?|pdf|bib|cff|tex|rtf|adoc))?"
# Files that libraries of data sets write beside their data.
DESCRIPTIONS = (
    r"dataset_infos?\.json|dataset_dict\.json|state\.json|croissant(_metadata)?\.json|datapackage\.json|"
    r"dataset-metadata\.json|metadata\.json|_metadata|_common_metadata|_SUCCESS|citation\.(cff|bib)"
)
COMPRESSED = re.compile(r"\.(gz|zst)$", re.IGNORECASE)
CARD = re.compile(rf"({DOCUMENT_NAMES}){DOCUMENT_ENDING}|{DESCRIPTIONS}", re.IGNORECASE)
CAPITAL_CARD = re.compile(rf"({CAPITALS})([-_. ][\w.\- ]*?)?(?i:{DOCUMENT_ENDING})")
# Endings that make a document of a file with a capital name.
TABLES = re.compile(r"\.(jsonl|ndjson|csv|tsv|parquet|pq|fasta|fa|faa|traces?)$", re.IGNORECASE)


def is_card(name: str) -> bool:
    """Returns whether a file's name shows that the file describes a corpus and is no document of it.

    Args:
      name: of the file, without its folder.

    Example:
      >>> from jaxlm.data.sources._cards import is_card
      >>> names = ["README.md", "LICENSE-MIT.txt", "train.jsonl", "a licence.txt"]
      >>> [name for name in names if is_card(name)]
      ['README.md', 'LICENSE-MIT.txt']
    """
    name = COMPRESSED.sub("", name)
    if TABLES.search(name):
        return False
    return CARD.fullmatch(name) is not None or CAPITAL_CARD.fullmatch(name) is not None
