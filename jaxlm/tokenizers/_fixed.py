"""The tokenizers that need no training: bytes and protein residues."""

from typing import get_args

from jaxlm.errors import ConfigError
from jaxlm.tokenizers._kinds import bytes_backend, residues_backend
from jaxlm.tokenizers._residues import Alphabet, Ambiguous
from jaxlm.tokenizers._tokenizer import Tokenizer


def bytes_tokenizer() -> Tokenizer:
    """Returns the tokenizer of bytes: a byte is its own id, 256 to 259 are [PAD], [SEP], [CLS] and [MASK].

    Example:
      >>> from jaxlm.tokenizers import bytes_tokenizer
      >>> bytes_tokenizer().encode("é")
      array([195, 169], dtype=int32)
    """
    return Tokenizer.from_json(bytes_backend().to_str())


def residue_tokenizer(alphabet: Alphabet = "esm", ambiguous: Ambiguous = "keep") -> Tokenizer:
    """Returns a tokenizer of protein sequences, one id a residue, in ESM's order or in cortex's.

    Text is `MKTAYI`, without spaces. ESM's alphabet has 33 symbols, cortex's the same without X (32). `.`
    separates chains (`join_chains`) and is a special: never masked, drawn at random or predicted. `-` is a
    gap, and a symbol like any residue. `add_specials` writes `<cls>` before and `<eos>` after, as ESM does.

    Ambiguous letters are X (any residue), B (D or N), Z (E or Q), J (I or L), and the rare residues U and O
    go with them. Any other letter, a lower-case one too, is an error that names its position.

    Args:
      alphabet: whose symbols and ids.
      ambiguous: "keep" gives those letters their own symbols and `<unk>` to those that the alphabet lacks (J;
        X in cortex's); "unknown" reads all as the unknown residue, X in ESM's and `<unk>` in cortex's;
        "error" refuses all.

    Returns:
      A `Tokenizer` of kind "residues".

    Raises:
      ConfigError: if there is no such alphabet or treatment.

    Example:
      >>> from jaxlm.tokenizers import residue_tokenizer
      >>> residue_tokenizer().encode("MK<mask>")
      array([20, 15, 32], dtype=int32)
      >>> residue_tokenizer("cortex", "unknown").encode("MKB")
      array([20, 15,  3], dtype=int32)

    References:
      Rives et al., "Biological structure and function emerge from scaling unsupervised learning to 250
      million protein sequences", 2021, https://doi.org/10.1073/pnas.2016239118.
    """
    for name, value, words in (("alphabet", alphabet, Alphabet), ("ambiguous", ambiguous, Ambiguous)):
        if value not in get_args(words):
            raise ConfigError(f"{name}: expected one of {', '.join(get_args(words))}, got {value!r}")
    return Tokenizer.from_json(residues_backend(alphabet, ambiguous).to_str())
