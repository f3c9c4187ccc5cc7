"""What stands around the changes of a protein in HGVS: references, `p.`, brackets, changes of the DNA."""

import re

from jaxlm.errors import ScoreError

SEPARATORS = re.compile(r"[\s:;,/+|]+")
# The same protein, in tables whose other rows name changes.
SAME_PROTEIN = frozenset(("=", "_sy", "_wt", "wt", "wild type", "wild-type", "wildtype", "wild_type"))
_PROTEIN = re.compile(r"(?<![A-Za-z0-9])p\.", re.IGNORECASE)
_REFERENCE = re.compile(
    r"(?P<name>[^\s;,/+|\[\]()]+?(?:\([^()]*\))?):\s*(?=[\[(]*p\.)|(?P<urn>urn:[^\s;,]+?#)(?=[\[(]*p\.)",
    re.IGNORECASE,
)
_DNA = re.compile(
    r"(?:[^\s;,/+|\[\]()]+(?:\([^()]*\))?:)?(?<![A-Za-z0-9])[cgmnor]\.[^\s,;()|]+", re.IGNORECASE
)
_ALLELES = re.compile(r"\]\s*(?:\(;\)|;|,|\+|/)?\s*\[")
_MUTATION = re.compile(r"(?:[A-Za-z]{3}|[A-Za-z*])-?\d+(?:[A-Za-z]{3}|[A-Za-z*=])")


def changes_in(text: str) -> list[str]:
    """Returns the words of a variant that name changes, without what stands around them.

    Read are `p.Ala2Thr`, `p.(Ala2Thr)`, `p.[Ala2Thr;Gly3Cys]`, each with or without a reference before it
    (`NP_000001.1:`, `ENSP00000269305.4:`, `NM_000546.6(TP53):`), and changes of DNA that the protein's stand
    behind, as `c.4G>A (p.Ala2Thr)`.

    Args:
      text: of a table's cell.

    Returns:
      Words such as `Ala2Thr` and `=`.

    Raises:
      ScoreError: if brackets do not close, there are two alleles, which are two proteins, or DNA alone.

    Example:
      >>> changes_in("NP_000001.1:p.(Ala2Thr)"), changes_in("A2T:G3C"), changes_in("c.6G>A (p.=)")
      (['Ala2Thr'], ['A2T', 'G3C'], ['='])
    """
    if any(text.count(opened) != text.count(closed) for opened, closed in ("()", "[]")):
        raise ScoreError("its brackets do not close")
    if _ALLELES.search(text):
        raise ScoreError("it names two alleles, which are two proteins: write each in a row of its own")
    if _PROTEIN.search(text):
        text = _REFERENCE.sub(_without_reference, _DNA.sub(" ", text))
    elif _DNA.search(text) and not _MUTATION.match(text):
        raise ScoreError("it names a change of DNA or RNA: name the protein's, as in p.Ala2Thr")
    # Uncertain phase is written (;).
    text = re.sub(r"[\[\]()]", " ", _PROTEIN.sub(" ", text))
    return [word for word in SEPARATORS.split(text) if word]


def _without_reference(match: re.Match[str]) -> str:
    """Nothing in the place of a reference; a change of the protein before another one stays."""
    name = match["name"] or match["urn"]
    if _PROTEIN.match(name):
        return match[0]
    if any(_MUTATION.fullmatch(word) for word in name.split(":")):
        raise ScoreError(f"{name} is a reference or a change: write p. before each change, or before none")
    return " "
