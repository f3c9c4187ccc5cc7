"""The tokenizers that need no training: bytes and protein residues."""

from typing import get_args

from jaxlm.errors import ConfigError
from jaxlm.tokenizers._kinds import bytes_backend, residues_backend
from jaxlm.tokenizers._residues import Alphabet, Ambiguous
from jaxlm.tokenizers._tokenizer import Tokenizer


def bytes_tokenizer() -> Tokenizer:
    """Returns the tokenizer of bytes: a byte's id is its value; 256 to 259 are [PAD], [SEP], [CLS], [MASK].

    Example:
      >>> from jaxlm.tokenizers import bytes_tokenizer
      >>> bytes_tokenizer().encode("é")
      array([195, 169], dtype=int32)
    """
    return Tokenizer.from_json(bytes_backend().to_str())


def residue_tokenizer(alphabet: Alphabet = "esm", ambiguous: Ambiguous = "keep") -> Tokenizer:
    """Returns a tokenizer of protein sequences with one id for each residue.

    A text is a sequence such as `MKTAYI`, without spaces. The alphabet of ESM has 33 symbols; that of the
    library cortex has the same symbols without X (32). `.` separates chains (`join_chains`) and is a special
    token: never masked, drawn at random or predicted. `-` is a gap, a symbol like any residue.
    `Tokenizer.encode` with `add_specials=True` puts `<cls>` before and `<eos>` after the sequence, as ESM
    does.

    Ambiguous letters are X (any residue), B (D or N), Z (E or Q) and J (I or L); the rare residues U and O
    are treated like them. Any other letter, also a lower-case one, is an error that names its position.

    Args:
      alphabet: the alphabet whose symbols and ids are used.
      ambiguous: how the letters X, B, Z, J, U and O are read. "keep" gives each its own symbol, or `<unk>` if
        the alphabet has no such symbol (J in both alphabets, X in that of cortex). "unknown" reads all of
        them as the unknown residue, which is X in the alphabet of ESM and `<unk>` in that of cortex. "error"
        raises an error for any of them.

    Returns:
      A `Tokenizer` of kind "residues".

    Raises:
      ConfigError: `alphabet` or `ambiguous` has an unknown value.

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
