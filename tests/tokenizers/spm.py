"""SentencePiece's model files, written by hand: the wire format from its description."""

import struct

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
OPENING = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]


def number(field, value):
    return _varint(field << 3) + _varint(value)


def message(field, data):
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def piece(text, score=0.0, kind=NORMAL):
    score = _varint(2 << 3 | 5) + struct.pack("<f", score)
    # NORMAL is the default, which files leave out.
    return message(1, message(1, text) + score + (number(3, kind) if kind != NORMAL else b""))


def model_file(pieces, *, model=1, trainer=b"", normalizer=b""):
    """A file of pieces `(text, score, kind)`; `normalizer` as it stands there, its defaults if empty."""
    data = b"".join(piece(*one) for one in pieces)
    return data + message(2, number(3, model) + trainer) + message(3, normalizer)


def _varint(value):
    data = b""
    while value > 0x7F:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])
