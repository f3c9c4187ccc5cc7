"""Reading the wild type, and finding the column of a table that names its mutants."""

from pathlib import Path

from jaxlm import data
from jaxlm.scoring.variants._missing import is_missing

# Names of that column in published tables; names of mutations come before whole sequences.
VARIANT_COLUMNS = ("mutant", "mutation", "mutations", "variant", "hgvs_pro", "mutated_sequence", "sequence")


def read_wild_type(source: str | Path) -> str:
    """Returns the wild type, the unmutated sequence: the first sequence of a file, or the text itself.

    Args:
      source: a FASTA file, a text file whose first line is the sequence, or the sequence.

    Returns:
      The sequence, without white space.

    Raises:
      CorpusError: if the file has no sequence, or does not exist.

    Example:
      >>> from jaxlm.scoring import read_wild_type
      >>> read_wild_type("MKTAYI")
      'MKTAYI'
    """
    text = str(source).strip()
    is_named = isinstance(source, Path) or "/" in text or "." in text.rstrip(".")
    if not is_named and not Path(text).is_file():
        return _checked("".join(text.split()), "a text") if text else ""
    for record in data.open_source(text):
        sequence = "".join(record.text.split()) if isinstance(record, data.Record) else ""
        if sequence:
            return _checked(sequence, text)
    raise data.CorpusError(f"{text}: no sequence in it: expected the wild type, as FASTA or on a line")


def _checked(sequence: str, source: str) -> str:
    if is_missing(sequence):
        raise data.CorpusError(
            f"expected the sequence of the wild type, got {sequence!r} of {source}: a missing value"
        )
    return sequence


def find_variant_column(path: str | Path) -> str:
    """Returns the name of the column that holds a table's variants, such as `mutant` or `mutation`.

    Args:
      path: a CSV, JSON Lines or Parquet file.

    Returns:
      The first usual name of a column of variants that the table has.

    Raises:
      CorpusError: if the table has none of these columns; the message names the columns that the table has.

    Example:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from jaxlm.scoring import find_variant_column
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "assay.csv").write_text("mutation,score\\nA2T,1.5\\n")
      ...     find_variant_column(Path(folder, "assay.csv"))
      'mutation'
    """
    failures = []
    for name in VARIANT_COLUMNS:
        try:
            # A value that cannot be read is one of the column's all the same.
            next(data.open_source_with_errors(path, field=name), None)
        except data.CorpusError as error:
            failures.append(error)
        else:
            return name
    raise failures[0]
