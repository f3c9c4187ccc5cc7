"""The wire format of protocol buffers, read: fields by number, never beyond the bytes that are there."""

from collections.abc import Iterator
from typing import NamedTuple

from jaxlm.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}
LONGEST_VARINT = 10


class Field(NamedTuple):
    """A field of a message: its number, how it is stored, and the number or the bytes that it holds."""

    number: int
    kind: int
    value: int | bytes


def read_fields(data: bytes) -> Iterator[Field]:
    """Yields the fields of a message in order; numbers of fixed width as their bytes, little end first.

    Args:
      data: the message.

    Raises:
      ModelError: one line, if a field claims more bytes than there are or is stored in no known way.

    Example:
      >>> from jaxlm.tokenizers._protobuf import read_fields
      >>> [tuple(field) for field in read_fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69]))]
      [(1, 0, 150), (2, 2, b'hi')]
      >>> list(read_fields(bytes([0x12, 0x7F, 0x68])))
      Traceback (most recent call last):
      ...
      jaxlm.errors.ModelError: field 2 claims 127 bytes at byte 2, and 1 are left

    References:
      Protocol Buffers, "Encoding", https://protobuf.dev/programming-guides/encoding/.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in FIXED:
            size = FIXED[kind]
        else:
            raise ModelError(f"field {number} at byte {at} is of wire type {kind}, which is not known")
        if size > len(data) - at:
            raise ModelError(
                f"field {number} claims {size:,} bytes at byte {at:,}, and {len(data) - at:,} are left"
            )
        yield Field(number, kind, data[at : at + size])
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + place + 1
    raise ModelError(f"the number at byte {at:,} does not end")
