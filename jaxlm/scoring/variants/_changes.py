"""One change of a protein, as HGVS or its users write it: `A23T`, `Ala23=`, `Lys23_Val25del`."""

import re
from typing import NamedTuple

from jaxlm.errors import ScoreError

# Three letters as HGVS names residues, with those that stand for several.
_NAMES = "Ala Arg Asn Asp Cys Gln Glu Gly His Ile Leu Lys Met Phe Pro Ser Thr Trp Tyr Val Sec Pyl Ter Stop"
RESIDUE_NAMES = dict(zip(_NAMES.casefold().split(), "ARNDCQEGHILKMFPSTWYVUO**", strict=True))
RESIDUE_NAMES |= {"asx": "B", "glx": "Z", "xle": "J", "xaa": "X"}
STOP = "*"
_ONE = "|".join(RESIDUE_NAMES) + "|[A-Za-z*]"
_AT = rf"({_ONE})(-?\d+)"
_CHANGE = re.compile(
    rf"{_AT}(?:_{_AT})?(?:(?P<same>=)|(?P<kind>delins|del|dup|ins)(?P<what>[A-Za-z0-9*]*)|(?P<mutant>{_ONE}))",
    re.IGNORECASE,
)
# What no sequence follows from, and why.
_UNSEQUENCED = (
    (re.compile(r".*fs.*", re.IGNORECASE), "is a shift of the reading frame, behind which nothing is known"),
    (re.compile(r".*ext.*", re.IGNORECASE), "goes on behind the protein's end or before its start"),
    (re.compile(r".*\?.*"), "is an effect that nobody knows"),
    (re.compile(r"0"), "is no protein at all"),
    (re.compile(r".*>.*"), "is a change of DNA or RNA"),
)


class SequenceChange(NamedTuple):
    """A stretch of the wild type and what stands in its place.

    Attributes:
      start: place of its first symbol, from 0.
      stop: the place behind its last; equal to `start` where something is inserted before it.
      symbols: what stands in its place.
    """

    start: int
    stop: int
    symbols: str


def read_change(word: str, wild_type: str, first: int) -> SequenceChange | None:
    """Returns a change; None where a word is none in any notation.

    Args:
      word: without reference, `p.` and brackets.
      wild_type: the sequence that it is of.
      first: the number of its first symbol.

    Raises:
      ScoreError: if it is one that does not fit the wild type, or of which no sequence follows.

    Example:
      >>> read_change("Ala2Thr", "MAG", 1), read_change("A2_G3del", "MAG", 1), read_change("MTG", "MAG", 1)
      (SequenceChange(start=1, stop=2, symbols='T'), SequenceChange(start=1, stop=3, symbols=''), None)
    """
    match = _CHANGE.fullmatch(word)
    if match is None:
        if re.match(rf"{_AT}|[?0]", word, re.IGNORECASE):
            for pattern, why in _UNSEQUENCED:
                if pattern.fullmatch(word):
                    raise ScoreError(f"{word} {why}: no sequence follows from it that a model could score")
        return None
    start, case = _place(match, 1, word, wild_type, first)
    stop = start + 1
    if match[3] is not None:
        stop = _place(match, 3, word, wild_type, first)[0] + 1
        if stop <= start + 1:
            raise ScoreError(f"{word}: its numbers do not rise")
    return _change(match, word, wild_type, start, stop, case)


def _change(
    match: re.Match[str], word: str, wild_type: str, start: int, stop: int, case: str | None
) -> SequenceChange | None:
    own, kind, what = wild_type[start:stop], (match["kind"] or "").lower(), match["what"] or ""
    if match["same"]:
        return SequenceChange(start, stop, own)
    if match["mutant"] is not None:
        # A range has no single symbol in its place.
        return (
            None
            if match[3] is not None
            else SequenceChange(start, stop, _symbol(match["mutant"], word, case))
        )
    if kind in ("del", "dup"):
        if what and not what.isdigit() and _symbols(what, word, case) != own:
            raise ScoreError(f"{word} says {what} where the wild type has {own}: is this its wild type?")
        if what.isdigit() and int(what) != stop - start:
            raise ScoreError(f"{word} says {what} symbols, and its numbers {stop - start}")
        return SequenceChange(start, stop, "") if kind == "del" else SequenceChange(stop, stop, own)
    symbols = _symbols(what, word, case)
    if kind == "delins":
        return SequenceChange(start, stop, symbols)
    if stop != start + 2:
        raise ScoreError(
            f"{word}: an insertion is between two symbols that stand side by side, as in A2_G3insT"
        )
    return SequenceChange(start + 1, start + 1, symbols)


def _place(match: re.Match[str], group: int, word: str, wild_type: str, first: int) -> tuple[int, str | None]:
    """A place of the wild type; and the case that its symbols are written in, None where it has both."""
    wild = _symbol(match[group], word, None)
    place, last = int(match[group + 1]) - first, first + len(wild_type) - 1
    if not 0 <= place < len(wild_type):
        raise ScoreError(f"{word} is outside the wild type, whose symbols are numbered {first}..{last}")
    own = wild_type[place]
    if own == wild:
        return place, "upper" if wild_type.isupper() else None
    if own.casefold() == wild.casefold():
        return place, "upper" if own.isupper() else "lower"
    raise ScoreError(
        f"{word} says {wild} where the wild type has {own}: is this its wild type, and is its first symbol "
        f"number {first}?"
    )


def _symbol(text: str, word: str, case: str | None) -> str:
    symbol = RESIDUE_NAMES.get(text.casefold(), text)
    if symbol == STOP:
        raise ScoreError(f"{word} has a stop codon (*), which no model of sequences scores")
    return symbol if case is None else getattr(symbol, case)()


def _symbols(text: str, word: str, case: str | None) -> str:
    """What is inserted: names of three letters each, or symbols."""
    names = [text[place : place + 3] for place in range(0, len(text), 3)]
    is_named = text and all(name.casefold() in RESIDUE_NAMES for name in names)
    # Three capitals may be three symbols; a name is written Ala, or the whole change is in capitals.
    is_named = is_named and (not text.isupper() or len(re.match(_ONE, word, re.IGNORECASE)[0]) == 3)
    parts = names if is_named else list(text)
    if not text or any(part.isdigit() for part in parts):
        raise ScoreError(f"{word} does not say which symbols stand there: name them, as in A2_G3insT")
    return "".join(_symbol(part, word, case) for part in parts)
