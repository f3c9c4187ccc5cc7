"""Reads the wire format of protocol buffers, never beyond the end of the data."""

from collections.abc import Iterator
from typing import NamedTuple

from jaxlm.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}
LONGEST_VARINT = 10


class Field(NamedTuple):
    """A field of a message.

    Attributes:
      number: its number in the message.
      kind: its wire type.
      value: an integer or bytes.
    """

    number: int
    kind: int
    value: int | bytes


def read_fields(data: bytes) -> Iterator[Field]:
    """Yields the fields of a message in order; numbers of fixed width as their little-endian bytes.

    Args:
      data: the message.

    Raises:
      ModelError: a field claims more bytes than there are, or has an unknown wire type.

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
    """The integer at an offset, of seven bits a byte with the lowest first, and the offset of its end."""
    value = 0
    for index, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + index + 1
    raise ModelError(f"the number at byte {at:,} does not end")
