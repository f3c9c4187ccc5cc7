"""The symbols of protein language models, and the check of sequences."""

import re
from collections.abc import Iterable
from typing import Literal

from jaxlm.errors import UsageError
from jaxlm.tokenizers._texts import as_texts

Alphabet = Literal["esm", "cortex"]
Ambiguous = Literal["keep", "unknown", "error"]

RESIDUES: tuple[str, ...] = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO",
    *".-",
    *("<null_1>", "<mask>"),
)
ALPHABETS: dict[Alphabet, tuple[str, ...]] = {
    "esm": RESIDUES,
    "cortex": tuple(symbol for symbol in RESIDUES if symbol != "X"),
}
RESIDUE_SPECIALS: tuple[str, ...] = tuple(symbol for symbol in RESIDUES if len(symbol) > 1)

CHAIN_SEPARATOR = "."
# The 20 amino acids that genes encode, in alphabetical order.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
# X is any residue, B is D or N, Z is E or Q, J is I or L; U and O are two rare residues.
AMBIGUOUS = "XBZJUO"
_CANONICAL = "".join(symbol for symbol in RESIDUES if len(symbol) == 1 and symbol not in AMBIGUOUS)
_LETTERS: dict[Ambiguous, str] = {
    "keep": _CANONICAL + AMBIGUOUS,
    "unknown": _CANONICAL + AMBIGUOUS,
    "error": _CANONICAL,
}
_SEQUENCES = {
    letters: re.compile(f"(?:[{re.escape(letters)}]|" + "|".join(map(re.escape, RESIDUE_SPECIALS)) + ")*")
    for letters in set(_LETTERS.values())
}


def check_residues(sequence: str, ambiguous: Ambiguous = "keep") -> None:
    """Raises an error if a sequence holds anything but residues and special tokens such as `<mask>`.

    Args:
      sequence: the sequence.
      ambiguous: "error" also refuses X, B, Z, J, U and O.

    Raises:
      UsageError: names the first character that is no residue, its position (from 0), and the remedy.

    Example:
      >>> from jaxlm.tokenizers._residues import check_residues
      >>> check_residues("MKT<mask>YI")
      >>> check_residues("MKtAYI")
      Traceback (most recent call last):
      ...
      jaxlm.errors.UsageError: 't' at position 2 is not a residue; write residues in upper case ('T')
    """
    letters = _LETTERS[ambiguous]
    # The pattern matches the empty text too.
    match = _SEQUENCES[letters].match(sequence)
    end = 0 if match is None else match.end()
    if end == len(sequence):
        return
    letter = sequence[end]
    remedy = f"expected one of {letters} or <mask>"
    if letter.upper() in set(letters):
        remedy = f"write residues in upper case ({letter.upper()!r})"
    if letter in AMBIGUOUS:
        remedy = "it is ambiguous or rare: take ambiguous='unknown' or 'keep', or leave the sequence out"
    if letter.isspace():
        remedy = "write sequences without white space"
    raise UsageError(f"{letter!r} at position {end} is not a residue; {remedy}")


def join_chains(chains: Iterable[str]) -> str:
    """Returns the chains of a protein complex as one sequence, separated by `.`.

    The separator is a special token of both alphabets (see `residue_tokenizer`): it is never masked, drawn at
    random or predicted.

    Args:
      chains: the residues of each chain, as non-empty strings. A single string is one chain.

    Returns:
      The sequence, as a text for `residue_tokenizer`.

    Raises:
      UsageError: there is no chain, or a chain is empty or holds a separator; the message names the index of
        the chain.

    Example:
      >>> from jaxlm.tokenizers import join_chains
      >>> join_chains(["AVAVAV", "ACVACA"])
      'AVAVAV.ACVACA'
    """
    chains = list(as_texts(chains))
    if not chains:
        raise UsageError("expected at least one chain to join, got none")
    for index, chain in enumerate(chains):
        if not chain or CHAIN_SEPARATOR in chain:
            raise UsageError(
                f"chain {index}: expected residues without {CHAIN_SEPARATOR!r}, which separates chains, "
                f"got {chain[:40]!r}"
            )
    return CHAIN_SEPARATOR.join(chains)
