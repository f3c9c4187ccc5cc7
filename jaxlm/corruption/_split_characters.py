"""Classes of characters that are divided among several tokens, from the ids of a row.

A byte tokenizer, or one that falls back to bytes, writes one character as up to four tokens. Its class is
known at its last byte, and needed at its first one.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxlm import tokenizers
from jaxlm.corruption._shares import array_module

MAX_CHARACTER_BYTES = 4  # bytes of a character
INNER_BYTES = 8  # the class of bytes inside a character, neither its first nor its last


class SplitCharacters(NamedTuple):
    """For each id, the parts of characters at the start and at the end of its bytes.

    Attributes:
      head_size: `Int32[V]` how many bytes at the start continue a character.
      head_bits: `Int32[V]` the bits that they add to its code point.
      tail_missing: `Int32[V]` how many bytes the last character still lacks.
      tail_bits: `Int32[V]` the bits of its code point so far.
      is_inner: `Bool[V]` whether all bytes continue a character.
      is_lead: `Bool[V]` whether all bytes begin a character.
      firsts: `Int32[...]` of `tokenizers.class_runs`.
      classes: `UInt8[...]` of `tokenizers.class_runs`.
    """

    head_size: np.ndarray
    head_bits: np.ndarray
    tail_missing: np.ndarray
    tail_bits: np.ndarray
    is_inner: np.ndarray
    is_lead: np.ndarray
    firsts: np.ndarray
    classes: np.ndarray


def split_characters(pieces: dict[int, bytes], vocab_size: int) -> SplitCharacters | None:
    """Returns the parts of characters in a vocabulary's tokens; None if every token has whole characters.

    Args:
      pieces: the bytes of tokens by id.
      vocab_size: V.

    Example:
      >>> from jaxlm.corruption._split_characters import split_characters
      >>> table = split_characters({0: b"a", 1: b"\\xc3", 2: b"\\xa9 "}, 3)
      >>> table.tail_missing.tolist(), table.head_size.tolist(), table.is_lead.tolist()
      ([0, 1, 0], [0, 0, 1], [False, True, False])
    """
    numbers = np.zeros((4, vocab_size), np.int32)
    flags = np.zeros((2, vocab_size), bool)
    for id_, piece in pieces.items():
        head, tail = _head(piece), _tail(piece)
        numbers[:2, id_] = len(head), _code(0, head)
        if tail:
            length = _length(tail[0])
            numbers[2:, id_] = length - len(tail), _code(tail[0] & (0x7F >> length), tail[1:])
        flags[:, id_] = bool(piece) and len(head) == len(piece), bool(piece) and len(tail) == len(piece)
    if not (numbers[0].any() or numbers[2].any()):
        return None
    head_size, head_bits, tail_missing, tail_bits = numbers
    is_inner, is_lead = flags
    firsts, classes = tokenizers.class_runs()
    return SplitCharacters(head_size, head_bits, tail_missing, tail_bits, is_inner, is_lead, firsts, classes)


def join_split_characters(tokens: Any, first: Any, last: Any, table: SplitCharacters) -> tuple[Any, Any]:
    """Returns the classes at the tokens' starts and ends, including those of divided characters.

    Args:
      tokens: `Int[B L]` token ids.
      first: `UInt8[B L]` the class at each token's start, as far as the token alone shows it.
      last: `UInt8[B L]` the class at its end.
      table: of the ids.

    Returns:
      Both classes; INNER_BYTES where a token starts or ends inside a character.
    """
    xp = array_module(tokens)
    head_size, head_bits, tail_missing, tail_bits, is_inner, is_lead = (
        xp.asarray(part)[tokens] for part in table[:6]
    )
    code, missing = xp.where(is_inner, 0, tail_bits), xp.where(is_inner, 0, tail_missing)
    for _ in range(MAX_CHARACTER_BYTES - 1):
        before, lacking = _shifted(code, 1, xp), _shifted(missing, 1, xp)
        code = xp.where(is_inner, (before << (6 * head_size)) | head_bits, code)
        missing = xp.where(is_inner, xp.maximum(lacking - head_size, 0), missing)
    lacking = _shifted(missing, 1, xp)
    whole = (_shifted(code, 1, xp) << (6 * head_size)) | head_bits
    goes_on = (head_size > 0) & (lacking > 0)
    ends = goes_on & (lacking <= head_size)
    runs = xp.searchsorted(xp.asarray(table.firsts), whole, side="right") - 1
    kind = xp.where(ends, xp.asarray(table.classes)[runs], np.uint8(INNER_BYTES))
    last = xp.where(missing > 0, np.uint8(INNER_BYTES), xp.where(is_inner, kind, last))
    for _ in range(MAX_CHARACTER_BYTES - 1):
        kind = xp.where(goes_on & ~ends, _shifted(kind, -1, xp), kind)
    first = xp.where(is_lead, _shifted(kind, -1, xp), first)
    return xp.where(goes_on, np.uint8(INNER_BYTES), first), last


def _shifted(values: Any, by: int, xp: Any) -> Any:
    """For each position the value before it (`by` = 1) or after it (-1), 0 at the border."""
    nothing = xp.zeros_like(values[:, :1])
    parts = (nothing, values[:, :-1]) if by == 1 else (values[:, 1:], nothing)
    return xp.concatenate(parts, axis=1)


def _head(piece: bytes) -> bytes:
    size = next((index for index, byte in enumerate(piece) if byte & 0xC0 != 0x80), len(piece))
    return piece[: min(size, MAX_CHARACTER_BYTES - 1)]


def _tail(piece: bytes) -> bytes:
    """The bytes at the end that begin a character without completing it."""
    for size in range(1, min(MAX_CHARACTER_BYTES, len(piece) + 1)):
        byte = piece[-size]
        if byte & 0xC0 == 0xC0:
            return piece[-size:] if size < _length(byte) else b""
        if byte < 0x80:
            return b""
    return b""


def _length(lead: int) -> int:
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _code(code: int, rest: bytes) -> int:
    for byte in rest:
        code = code << 6 | byte & 0x3F
    return code
