"""Reads SentencePiece's model files: the pieces, and how a text is changed before it is divided."""

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
    """A piece of a model.

    Attributes:
      text: its text.
      score: its score; for a unigram model, a log-probability.
      kind: NORMAL to BYTE.
    """

    text: str
    score: float
    kind: int


class SentencePieces(NamedTuple):
    """The content of a model file.

    Attributes:
      pieces: in the order of their ids; one of them is UNKNOWN.
      model: "unigram" or "bpe".
      byte_fallback: whether characters without a piece are written as bytes.
      charsmap: the table for the normalization of characters; empty: none.
      adds_space: whether a space is added in front of a text.
      strips_spaces: whether spaces are removed at both ends of a text, and runs of spaces reduced to one.
    """

    pieces: tuple[SentencePiece, ...]
    model: str
    byte_fallback: bool
    charsmap: bytes
    adds_space: bool
    strips_spaces: bool

    def of_kind(self, *kinds: int) -> dict[str, int]:
        """Returns by text the ids of the pieces of some kinds."""
        return {piece.text: id for id, piece in enumerate(self.pieces) if piece.kind in kinds}


def read_sentence_pieces(path: Path) -> SentencePieces:
    """Reads a model file of SentencePiece (`*.spm`, `*.model`).

    Raises:
      ModelError: one line that names the file: it is cut off, no model file, or uses something that is not
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


def _checked(model: SentencePieces) -> SentencePieces:
    if not model.pieces:
        raise ModelError("it holds no pieces")
    if model.model not in ("unigram", "bpe"):
        raise ModelError(f"its model is {model.model!r}: unigram and bpe are read")
    if len({piece.text for piece in model.pieces}) < len(model.pieces):
        raise ModelError("a piece stands in it twice")
    wrong = next((piece for piece in model.pieces if not math.isfinite(piece.score)), None)
    if wrong is not None:
        raise ModelError(f"the score of {wrong.text!r} is {wrong.score}")
    if len(model.of_kind(UNKNOWN)) != 1:
        raise ModelError(f"one piece stands for what is unknown: got {len(model.of_kind(UNKNOWN))}")
    if model.charsmap:
        check_charsmap(model.charsmap)
    return model


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
    """The fields of a message by number; of repeated fields the last."""
    return {
        field.number: field.value for field in read_fields(data) if field.kind in (VARINT, BYTES, FIXED32)
    }


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ModelError("a text in it is stored as a number")
    return value
