"""HGVS notation around the changes of a protein: references, `p.`, brackets, changes of DNA."""

import re

from jaxlm.errors import ScoreError

SEPARATORS = re.compile(r"[\s:;,/+|]+")
# How tables of changes write a protein that is not changed.
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
    """Returns the words of a variant that name changes, without the notation around them.

    It reads `p.Ala2Thr`, `p.(Ala2Thr)` and `p.[Ala2Thr;Gly3Cys]`, each with or without a reference before it
    (`NP_000001.1:`, `ENSP00000269305.4:`, `NM_000546.6(TP53):`), and changes of DNA that are followed by the
    protein's, such as `c.4G>A (p.Ala2Thr)`.

    Args:
      text: the cell of a table.

    Returns:
      Words such as `Ala2Thr` and `=`.

    Raises:
      ScoreError: if brackets do not close, or the text names two alleles (two proteins) or changes of DNA
        alone.

    Example:
      >>> from jaxlm.scoring.variants._hgvs import changes_in
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
    # (;) means that the phase is uncertain.
    text = re.sub(r"[\[\]()]", " ", _PROTEIN.sub(" ", text))
    return [word for word in SEPARATORS.split(text) if word]


def _without_reference(match: re.Match[str]) -> str:
    """Returns a space instead of a reference; a change of the protein before another change is kept."""
    name = match["name"] or match["urn"]
    if _PROTEIN.match(name):
        return match[0]
    if any(_MUTATION.fullmatch(word) for word in name.split(":")):
        raise ScoreError(f"{name} is a reference or a change: write p. before each change, or before none")
    return " "
