"""One change of a protein as people write it, in HGVS or shorter: `A23T`, `Ala23=`, `Lys23_Val25del`."""

import re
from typing import NamedTuple

from jaxlm.errors import ScoreError

# The three-letter names of residues in HGVS, and those of ambiguous ones.
_NAMES = "Ala Arg Asn Asp Cys Gln Glu Gly His Ile Leu Lys Met Phe Pro Ser Thr Trp Tyr Val Sec Pyl Ter Stop"
RESIDUE_NAMES: dict[str, str] = {
    **dict(zip(_NAMES.casefold().split(), "ARNDCQEGHILKMFPSTWYVUO**", strict=True)),
    "asx": "B",
    "glx": "Z",
    "xle": "J",
    "xaa": "X",
}
STOP = "*"
_ONE = "|".join(RESIDUE_NAMES) + "|[A-Za-z*]"
_AT = rf"({_ONE})(-?\d+)"
_CHANGE = re.compile(
    rf"{_AT}(?:_{_AT})?(?:(?P<same>=)|(?P<kind>delins|del|dup|ins)(?P<what>[A-Za-z0-9*]*)|(?P<mutant>{_ONE}))",
    re.IGNORECASE,
)
# Changes from which no sequence follows, and why.
_WITHOUT_SEQUENCE = (
    (re.compile(r".*fs.*", re.IGNORECASE), "shifts the reading frame, and what follows is unknown"),
    (re.compile(r".*ext.*", re.IGNORECASE), "extends the protein behind its end or before its start"),
    (re.compile(r".*\?.*"), "is an unknown effect"),
    (re.compile(r"0"), "means that there is no protein"),
    (re.compile(r".*>.*"), "is a change of DNA or RNA"),
)


class SequenceChange(NamedTuple):
    """A stretch of the wild type and the symbols that replace it.

    Attributes:
      start: position of the stretch's first symbol, from 0.
      stop: the position behind its last symbol; equal to `start` if symbols are inserted there.
      symbols: the symbols that replace it.
    """

    start: int
    stop: int
    symbols: str


def read_change(word: str, wild_type: str, first: int) -> SequenceChange | None:
    """Returns the change that a word names; None if it names none in any notation.

    Args:
      word: without reference, `p.` and brackets.
      wild_type: the sequence that is changed.
      first: the number of its first symbol.

    Raises:
      ScoreError: if the change does not fit the wild type, or no sequence follows from it.

    Example:
      >>> from jaxlm.scoring.variants._changes import read_change
      >>> read_change("Ala2Thr", "MAG", 1), read_change("A2_G3del", "MAG", 1), read_change("MTG", "MAG", 1)
      (SequenceChange(start=1, stop=2, symbols='T'), SequenceChange(start=1, stop=3, symbols=''), None)
    """
    match = _CHANGE.fullmatch(word)
    if match is None:
        if re.match(rf"{_AT}|[?0]", word, re.IGNORECASE):
            for pattern, why in _WITHOUT_SEQUENCE:
                if pattern.fullmatch(word):
                    raise ScoreError(f"{word} {why}: no sequence follows from it that a model could score")
        return None
    start, case = _place(match, 1, word, wild_type, first)
    stop = start + 1
    if match[3] is not None:
        stop = _place(match, 3, word, wild_type, first)[0] + 1
        if stop <= start + 1:
            raise ScoreError(f"{word}: the second number is not above the first")
    return _change(match, word, wild_type, start, stop, case)


def _change(
    match: re.Match[str], word: str, wild_type: str, start: int, stop: int, case: str | None
) -> SequenceChange | None:
    own, kind, what = wild_type[start:stop], (match["kind"] or "").lower(), match["what"] or ""
    if match["same"]:
        return SequenceChange(start, stop, own)
    if match["mutant"] is not None:
        # One symbol cannot replace a range in this notation.
        if match[3] is not None:
            return None
        return SequenceChange(start, stop, _symbol(match["mutant"], word, case))
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
        raise ScoreError(f"{word}: an insertion is between two neighbouring symbols, as in A2_G3insT")
    return SequenceChange(start + 1, start + 1, symbols)


def _place(match: re.Match[str], group: int, word: str, wild_type: str, first: int) -> tuple[int, str | None]:
    """Returns a position of the wild type, and the case of the wild type's symbols; None if it has both."""
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
    """Returns inserted symbols, which are written as one letter or as three letters each."""
    names = [text[place : place + 3] for place in range(0, len(text), 3)]
    is_named = text and all(name.casefold() in RESIDUE_NAMES for name in names)
    # Three capitals may be three symbols: they are a name only if the rest of the change has names, too.
    begins = re.match(_ONE, word, re.IGNORECASE)
    has_names = begins is not None and len(begins[0]) == 3
    parts = names if is_named and (not text.isupper() or has_names) else list(text)
    if not text or any(part.isdigit() for part in parts):
        raise ScoreError(f"{word} does not say which symbols are inserted: name them, as in A2_G3insT")
    return "".join(_symbol(part, word, case) for part in parts)
