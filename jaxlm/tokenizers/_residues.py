"""The 33 symbols of protein language models, in ESM's order, and the check that a sequence keeps to them."""

import re

RESIDUES: tuple[str, ...] = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO",
    *".-",
    *("<null_1>", "<mask>"),
)
RESIDUE_SPECIALS: tuple[str, ...] = tuple(symbol for symbol in RESIDUES if len(symbol) > 1)

_SEQUENCE = re.compile("(?:" + "|".join(re.escape(symbol) for symbol in RESIDUES) + ")*")


def check_residues(sequence: str) -> None:
    """Raises if `sequence` holds anything but residue symbols and written-out specials such as `<mask>`.

    Raises:
      ValueError: names the first character that is no residue, its position (from 0), and the remedy.

    Example:
      >>> check_residues("MKT<mask>YI")
      >>> check_residues("MKtAYI")
      Traceback (most recent call last):
      ...
      ValueError: 't' at position 2 is not a residue; write residues in upper case ('T')
    """
    end = _SEQUENCE.match(sequence).end()
    if end == len(sequence):
        return
    found = sequence[end]
    remedy = f"expected one of {''.join(symbol for symbol in RESIDUES if len(symbol) == 1)} or <mask>"
    if found.upper() in RESIDUES:
        remedy = f"write residues in upper case ({found.upper()!r})"
    if found.isspace():
        remedy = "write sequences without white space"
    raise ValueError(f"{found!r} at position {end} is not a residue; {remedy}")
