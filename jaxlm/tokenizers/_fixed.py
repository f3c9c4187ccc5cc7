"""The tokenizers that need no training: bytes and protein residues."""

from jaxlm.tokenizers._kinds import bytes_backend, residues_backend
from jaxlm.tokenizers._tokenizer import Tokenizer


def bytes_tokenizer() -> Tokenizer:
    """Returns the tokenizer of bytes: a byte is its own id, 256 to 259 are [PAD], [SEP], [CLS] and [MASK].

    Example:
      >>> bytes_tokenizer().encode("é")
      array([195, 169], dtype=int32)
    """
    return Tokenizer.from_json(bytes_backend().to_str())


def residue_tokenizer() -> Tokenizer:
    """Returns the tokenizer of protein sequences: the 33 symbols of ESM in ESM's order, one id a residue.

    Text is `MKTAYI`, without spaces; X, B, U, Z and O are symbols of their own, as are `.` and `-`. A
    lower-case or unknown letter is an error and never `<unk>`. `add_specials` writes `<cls>` before and
    `<eos>` after, as ESM does.

    Example:
      >>> residue_tokenizer().encode("MK<mask>")
      array([20, 15, 32], dtype=int32)

    References:
      Rives et al., "Biological structure and function emerge from scaling unsupervised learning to 250
      million protein sequences", 2021, https://doi.org/10.1073/pnas.2016239118.
    """
    return Tokenizer.from_json(residues_backend().to_str())
