"""SentencePiece's model files: the pieces, and what is done with a text before it is divided into them."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm.errors import ModelError
from jaxlm.tokenizers._charsmap import check_charsmap
from jaxlm.tokenizers._protobuf import BYTES, FIXED32, VARINT, Field, read_fields

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class SentencePiece(NamedTuple):
    """A piece: its text, its score (of unigrams a log-probability), and its kind, NORMAL to BYTE."""

    text: str
    score: float
    kind: int


class SentencePieces(NamedTuple):
    """What a model file says.

    Attributes:
      pieces: in the order of their ids; one of them is UNKNOWN.
      model: "unigram" or "bpe".
      byte_fallback: what no piece covers is written as bytes.
      charsmap: the table that characters are normalized by; empty: none.
      adds_space: in front of a text.
      strips_spaces: at both ends of a text, and all but one of several.
    """

    pieces: tuple[SentencePiece, ...]
    model: str
    byte_fallback: bool
    charsmap: bytes
    adds_space: bool
    strips_spaces: bool

    def of_kind(self, *kinds: int) -> dict[str, int]:
        """Returns the ids of the pieces of some kinds by their text."""
        return {piece.text: id for id, piece in enumerate(self.pieces) if piece.kind in kinds}


def read_sentence_pieces(path: Path) -> SentencePieces:
    """Reads a model file of SentencePiece (`*.spm`, `*.model`).

    Raises:
      ModelError: one line that names the file: it is cut off or no such file, or asks for what is not
        supported.

    References:
      Kudo and Richardson, "SentencePiece", 2018, https://arxiv.org/abs/1808.06226.
    """
    try:
        return _checked(_read(path.read_bytes()))
    except ValueError as error:
        raise ModelError(f"{path.name} is no SentencePiece model that can be read: {error}") from error


def _read(data: bytes) -> SentencePieces:
    pieces, trainer, normalizer = [], {}, {}
    for field in read_fields(data):
        if field.number == 1:
            pieces.append(_piece(_message(field)))
        elif field.number == 2:
            trainer |= _scalars(_message(field))
        elif field.number == 3:
            normalizer |= _scalars(_message(field))
        elif field.number == 5 and _scalars(_message(field)).get(2):
            raise ModelError("it has a table of characters for decoding, which is not supported")
    if trainer.get(24):
        raise ModelError(
            "its pieces end with their space (treat_whitespace_as_suffix), which is not supported"
        )
    if not normalizer.get(5, 1):
        raise ModelError("its spaces are not written as ▁ (escape_whitespaces), which is not supported")
    return SentencePieces(
        tuple(pieces),
        MODEL_TYPES.get(trainer.get(3, 1), "unknown"),
        bool(trainer.get(35, 0)),
        _bytes(normalizer.get(2, b"")),
        bool(normalizer.get(3, 1)),
        bool(normalizer.get(4, 1)),
    )


def _checked(found: SentencePieces) -> SentencePieces:
    if not found.pieces:
        raise ModelError("it holds no pieces")
    if found.model not in ("unigram", "bpe"):
        raise ModelError(f"its model is {found.model!r}: unigram and bpe are read")
    if len({piece.text for piece in found.pieces}) < len(found.pieces):
        raise ModelError("a piece stands in it twice")
    wrong = next((piece for piece in found.pieces if not math.isfinite(piece.score)), None)
    if wrong is not None:
        raise ModelError(f"the score of {wrong.text!r} is {wrong.score}")
    if len(found.of_kind(UNKNOWN)) != 1:
        raise ModelError(f"one piece stands for what is unknown: got {len(found.of_kind(UNKNOWN))}")
    if found.charsmap:
        check_charsmap(found.charsmap)
    return found


def _piece(data: bytes) -> SentencePiece:
    values = _scalars(data)
    score = values.get(2, b"\0\0\0\0")
    if not isinstance(score, bytes) or len(score) != 4:
        raise ModelError("the score of a piece is stored as no float")
    text = _bytes(values.get(1, b"")).decode()
    if not text:
        raise ModelError("a piece has no text")
    return SentencePiece(text, struct.unpack("<f", score)[0], values.get(3, NORMAL))


def _message(field: Field) -> bytes:
    if not isinstance(field.value, bytes) or field.kind != BYTES:
        raise ModelError(f"field {field.number} is no message")
    return field.value


def _scalars(data: bytes) -> Mapping[int, Any]:
    """The fields of a message by number, the last of each."""
    return {
        field.number: field.value for field in read_fields(data) if field.kind in (VARINT, BYTES, FIXED32)
    }


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ModelError("a text in it is stored as a number")
    return value
