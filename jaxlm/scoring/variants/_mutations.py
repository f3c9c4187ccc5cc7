"""Variants of a wild type as people write them: `A23T`, `A23T:G45C`, or the mutant's whole sequence."""

import re
from typing import NamedTuple

from jaxlm.errors import ScoreError
from jaxlm.scoring.variants._changes import STOP, SequenceChange, read_change
from jaxlm.scoring.variants._hgvs import SAME_PROTEIN, changes_in
from jaxlm.scoring.variants._missing import is_missing

_SEQUENCE = re.compile(r"[A-Za-z.\-]+")


class Substitution(NamedTuple):
    """One symbol of the wild type (the unmutated sequence) exchanged for another symbol.

    Attributes:
      place: the position of the symbol in the wild type, from 0.
      wild: the symbol of the wild type.
      mutant: the symbol of the mutant.
    """

    place: int
    wild: str
    mutant: str


class Variant(NamedTuple):
    """A mutant of a wild type, the unmutated sequence; or the wild type itself.

    Attributes:
      sequence: the mutant's whole sequence.
      substitutions: the exchanged symbols, by position; empty for the wild type itself; None if mutant and
        wild type differ in length (an insertion or a deletion), because positions then do not correspond.
    """

    sequence: str
    substitutions: tuple[Substitution, ...] | None

    def name(self, first: int = 1) -> str:
        """Returns the mutations as `A23T:G45C`, "WT" for the wild type, "" for an insertion or a deletion.

        Args:
          first: the number that the name gives to the wild type's first symbol.

        Example:
          >>> from jaxlm.scoring import parse_variant
          >>> parse_variant("G3C:M1A", "MAG").name()
          'M1A:G3C'
        """
        if self.substitutions is None:
            return ""
        names = [f"{change.wild}{change.place + first}{change.mutant}" for change in self.substitutions]
        return ":".join(names) or "WT"


def parse_variant(text: str, wild_type: str, *, first: int = 1) -> Variant:
    """Returns the variant that a text names: mutations of the wild type, or a mutant's whole sequence.

    | written | meant |
    |---|---|
    | `A23T`, `Ala23Thr`, `ALA23THR`, `p.Ala23Thr`, `NP_000001.1:p.(Ala23Thr)` | one exchange |
    | `A23T:G45C`, `p.[Ala23Thr;Gly45Cys]`, `p.Ala23Thr, p.Gly45Cys` | several |
    | `Lys23_Val25del`, `Ala3dup`, `Lys23_Leu24insArgSer`, `Cys28delinsTrpVal` | another length |
    | `A23=`, `A23A`, `p.Ala23=`, `p.=`, `=`, `_sy`, `_wt`, `WT` | the wild type, as a protein |
    | `MAGKT` | a text of letters alone is the mutant's whole sequence, of any length |
    | `NA`, `NaN`, `None`, `-`, nothing | missing: an error, and no sequence |
    | `Ala23Ter`, `A23*`, `Arg97fs`, `Met1?`, `c.4G>A` | an error that says why |

    Several mutations are separated by `:` `,` `;` `/` `+` or white space. The wild type's symbols that a text
    names are compared with the wild type; upper and lower case are not distinguished.

    Args:
      text: the name of the variant, as a cell of a table holds it.
      wild_type: the unmutated sequence.
      first: the number that names give to the wild type's first symbol: with 1, `M1A` exchanges the first
        symbol.

    Returns:
      The variant.

    Raises:
      ScoreError: if the text is empty or names no variant, a position is outside the wild type, the wild type
        has another symbol there, a position is named twice, or no sequence follows (a stop codon, a shifted
        frame).

    Example:
      >>> from jaxlm.scoring import parse_variant
      >>> parse_variant("A2T:G3C", "MAG")
      Variant(sequence='MTC', substitutions=(Substitution(place=1, wild='A', mutant='T'), \
    Substitution(place=2, wild='G', mutant='C')))
      >>> parse_variant("NP_000001.1:p.(Ala2del)", "MAG")
      Variant(sequence='MG', substitutions=None)
    """
    text = text.strip()
    if is_missing(text):
        raise ScoreError(f"no variant: the value is missing ({text!r})")
    if text.casefold() in SAME_PROTEIN:
        return Variant(wild_type, ())
    if _SEQUENCE.fullmatch(text):
        return variant_of_sequence(text, wild_type)
    try:
        words = changes_in(text)
    except ScoreError as error:
        raise ScoreError(f"{_shown(text)} is no variant: {error}") from error
    named = [word for word in words if word.casefold() not in SAME_PROTEIN]
    changes = [read_change(word, wild_type, first) for word in named]
    known = [change for change in changes if change is not None]
    if len(known) < len(changes) or not words:
        if STOP in text:
            raise ScoreError(f"{_shown(text)} has a stop codon (*), which no model of sequences scores")
        raise ScoreError(
            f"{_shown(text)} is no variant: write mutations as A23T or A23T:G45C, or the mutant's sequence"
        )
    return _changed(sorted(known), wild_type)


def variant_of_sequence(sequence: str, wild_type: str) -> Variant:
    """Returns a mutant's whole sequence as a variant; its substitutions, if it is as long as the wild type.

    Example:
      >>> from jaxlm.scoring.variants._mutations import variant_of_sequence
      >>> variant_of_sequence("MTG", "MAG").name()
      'A2T'
    """
    if len(sequence) != len(wild_type):
        return Variant(sequence, None)
    pairs = enumerate(zip(wild_type, sequence, strict=True))
    return Variant(sequence, tuple(Substitution(n, old, new) for n, (old, new) in pairs if old != new))


def _changed(changes: list[SequenceChange], wild_type: str) -> Variant:
    """Returns the variant with these changes, which are in the order of their positions."""
    parts, end, inserted = [], 0, -1
    for start, stop, symbols in changes:
        if start < end or start == inserted == stop:
            raise ScoreError(f"two mutations at the same position, symbol {start + 1} of the wild type")
        inserted = start if start == stop else -1
        parts += [wild_type[end:start], symbols]
        end = stop
    return variant_of_sequence("".join([*parts, wild_type[end:]]), wild_type)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
