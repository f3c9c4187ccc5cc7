"""Variants of a wild type, as people write them: `A23T`, `A23T:G45C`, or the whole sequence of the mutant."""

import re
from typing import NamedTuple

SEPARATORS = re.compile(r"[\s:;,/+]+")
WILD_TYPE_NAMES = frozenset({"", "WT", "_WT", "WILD-TYPE", "WILDTYPE", "WILD_TYPE", "P.="})
# As HGVS names them, whose names of several mutations stand in brackets: p.[Ala23Thr;Gly45Cys].
_NAMES = "Ala Arg Asn Asp Cys Gln Glu Gly His Ile Leu Lys Met Phe Pro Ser Thr Trp Tyr Val Sec Pyl Ter"
RESIDUE_NAMES = dict(zip(_NAMES.split(), "ARNDCQEGHILKMFPSTWYVUO*", strict=True))
_ONE = "|".join(RESIDUE_NAMES) + "|[A-Za-z*]"
_SUBSTITUTION = re.compile(rf"({_ONE})(-?\d+)({_ONE}|=)")
_HGVS = re.compile(r"p\.\[?|[\[\]]")
_SEQUENCE = re.compile(r"[A-Za-z.\-]+")


class Substitution(NamedTuple):
    """One symbol of the wild type exchanged for another.

    Attributes:
      place: where, from 0.
      wild: the symbol of the wild type.
      mutant: the symbol in its place.
    """

    place: int
    wild: str
    mutant: str


class Variant(NamedTuple):
    """A mutant of a wild type.

    Attributes:
      sequence: the whole mutant.
      substitutions: what differs, by place; none for the wild type itself. None where the lengths differ, so
        that there is no place for place (an insertion or a deletion).
    """

    sequence: str
    substitutions: tuple[Substitution, ...] | None

    def name(self, first: int = 1) -> str:
        """Returns the mutations as `A23T:G45C`, "WT" for the wild type, "" for an insertion or a deletion.

        Args:
          first: the number of the wild type's first symbol.

        Example:
          >>> parse_variant("G3C:M1A", "MAG").name()
          'M1A:G3C'
        """
        if self.substitutions is None:
            return ""
        return ":".join(f"{one.wild}{one.place + first}{one.mutant}" for one in self.substitutions) or "WT"


def parse_variant(text: str, wild_type: str, *, first: int = 1) -> Variant:
    """Returns the variant that a text means: mutations of the wild type, or a mutant's whole sequence.

    Mutations are `A23T`: the wild type's symbol, its number, the mutant's symbol (`=` for the same); several
    are put together with `:` (or `,`, `;`, `/`, `+`, white space). HGVS's `p.Ala23Thr` and
    `p.[Ala23Thr;Gly45Cys]` are read, too. A text without digits is a whole sequence, which may be longer or
    shorter than the wild type. "WT", `p.=` and an empty text are the wild type itself. An exchange of a
    symbol for itself is no mutation.

    Args:
      text: what stands in a table's column.
      wild_type: the sequence that it is a variant of.
      first: the number of the wild type's first symbol.

    Returns:
      `Variant`.

    Raises:
      ValueError: if the text is neither, a number is outside the wild type, the symbol there is another one,
        a place is named twice, or a stop codon is meant.

    Example:
      >>> parse_variant("A2T:G3C", "MAG")
      Variant(sequence='MTC', substitutions=(Substitution(place=1, wild='A', mutant='T'), \
Substitution(place=2, wild='G', mutant='C')))
      >>> parse_variant("MG", "MAG")
      Variant(sequence='MG', substitutions=None)
    """
    text = text.strip()
    if text.upper() in WILD_TYPE_NAMES:
        return Variant(wild_type, ())
    words = [word for word in SEPARATORS.split(_HGVS.sub("", text)) if word]
    found = [_SUBSTITUTION.fullmatch(word) for word in words]
    if all(found):
        return _exchanged([_substitution(match, wild_type, first) for match in found], wild_type)
    if "*" in text:
        raise ValueError(f"{_shown(text)} has a stop codon (*), which no model of sequences scores")
    if len(words) > 1 or not _SEQUENCE.fullmatch(text):
        raise ValueError(
            f"{_shown(text)} is no variant: write mutations as A23T or A23T:G45C, or the mutant's sequence"
        )
    return difference(text, wild_type)


def difference(sequence: str, wild_type: str) -> Variant:
    """Returns a whole sequence as a variant, with what it exchanges if it is as long as the wild type.

    Example:
      >>> difference("MTG", "MAG").name()
      'A2T'
    """
    if len(sequence) != len(wild_type):
        return Variant(sequence, None)
    pairs = enumerate(zip(wild_type, sequence, strict=True))
    return Variant(sequence, tuple(Substitution(n, old, new) for n, (old, new) in pairs if old != new))


def _substitution(match: re.Match[str], wild_type: str, first: int) -> Substitution:
    wild, mutant = (RESIDUE_NAMES.get(symbol, symbol) for symbol in (match[1], match[3]))
    number = int(match[2])
    place, last = number - first, first + len(wild_type) - 1
    mutant = wild if mutant == "=" else mutant
    if "*" in (wild, mutant):
        raise ValueError(f"{match[0]} has a stop codon (*), which no model of sequences scores")
    if not 0 <= place < len(wild_type):
        raise ValueError(f"{match[0]} is outside the wild type, whose symbols are numbered {first}..{last}")
    if wild_type[place] != wild:
        raise ValueError(
            f"{match[0]} says {wild} where the wild type has {wild_type[place]}: is this its wild type, and "
            f"is its first symbol number {first}?"
        )
    return Substitution(place, wild, mutant)


def _exchanged(substitutions: list[Substitution], wild_type: str) -> Variant:
    symbols, seen = list(wild_type), set()
    for place, _, mutant in substitutions:
        if place in seen:
            raise ValueError(f"two mutations at the same place, the symbol {place + 1} of the wild type")
        seen.add(place)
        symbols[place] = mutant
    changed = sorted(one for one in substitutions if one.wild != one.mutant)
    return Variant("".join(symbols), tuple(changed))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
