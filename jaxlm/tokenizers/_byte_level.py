"""Bytes as visible characters, as GPT-2's vocabularies write them, and back to text.

A printable Latin-1 byte is written as itself; the others, in order, as the characters from U+0100 on. So any
bytes become a string without spaces and control characters, which a vocabulary file can hold.
"""

import re
from collections.abc import Mapping

import numpy as np

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_SHIFTED = tuple(byte for byte in range(256) if byte not in _PRINTABLE)

BYTE_SYMBOLS: tuple[str, ...] = tuple(
    chr(byte if byte in _PRINTABLE else 256 + _SHIFTED.index(byte)) for byte in range(256)
)
_BYTES = {symbol: byte for byte, symbol in enumerate(BYTE_SYMBOLS)}
_TO_LATIN = str.maketrans({symbol: chr(byte) for symbol, byte in _BYTES.items()})
_FOREIGN = re.compile(f"[^{re.escape(''.join(BYTE_SYMBOLS))}]")

# Marks a continuing piece: "append" is a whole operand, "…append" the end of a longer one. It is none of the
# 256 symbols, so no text contains it.
CONTINUATION = "…"


def to_symbols(text: str) -> str:
    """Writes the UTF-8 bytes of `text` as symbols.

    Example:
      >>> from jaxlm.tokenizers._byte_level import to_symbols
      >>> to_symbols("é the")
      'Ã©Ġthe'
    """
    return "".join(BYTE_SYMBOLS[byte] for byte in text.encode())


def to_bytes(symbols: str) -> bytes:
    r"""Returns the bytes that symbols stand for; for a token with other characters, its UTF-8.

    Example:
      >>> from jaxlm.tokenizers._byte_level import to_bytes
      >>> to_bytes("Ã"), to_bytes("Ġ漢")
      (b'\xc3', b'\xc4\xa0\xe6\xbc\xa2')
    """
    if _FOREIGN.search(symbols):
        return symbols.encode()
    return symbols.translate(_TO_LATIN).encode("latin-1")


def from_symbols(symbols: str) -> str:
    r"""Returns the text of symbols; bytes that are not UTF-8 by themselves are shown as `\xNN`.

    The continuation mark is kept, and a token that is not written in symbols is returned unchanged.

    Example:
      >>> from jaxlm.tokenizers._byte_level import from_symbols
      >>> from_symbols("…Ã©"), from_symbols("Ġthe"), from_symbols("Ã")
      ('…é', ' the', '\\xc3')
    """
    mark = CONTINUATION if symbols.startswith(CONTINUATION) else ""
    body = symbols[len(mark) :]
    if any(symbol not in _BYTES for symbol in body):
        return symbols
    return mark + bytes(_BYTES[symbol] for symbol in body).decode(errors="backslashreplace")


def byte_ids(text: str, specials: Mapping[str, int]) -> np.ndarray:
    """Returns the bytes of a text as ids, with the ids of special tokens that are written in it.

    It equals a byte-level pipeline without merges but takes only the time of a copy: the pipeline makes an
    object for each byte.

    Args:
      text: any Unicode.
      specials: id by special token.

    Returns:
      int32 array `[L]`.

    Example:
      >>> from jaxlm.tokenizers._byte_level import byte_ids
      >>> byte_ids("h[MASK]i", {"[MASK]": 259})
      array([104, 259, 105], dtype=int32)
    """
    parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]
    ids = [[specials[part]] if part in specials else np.frombuffer(part.encode(), np.uint8) for part in parts]
    return np.concatenate([np.asarray(part, np.int32) for part in ids])
