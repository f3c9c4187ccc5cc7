"""Texts and their contrasts as pairs of encoded texts."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from jaxlm.errors import JaxlmError, UsageError
from jaxlm.steps._alignment import align, check_alignment
from jaxlm.steps._contrast import Contrast
from jaxlm.steps._encoded_texts import EncodedText, TextReader
from jaxlm.steps._layout import EncodedPair
from jaxlm.steps._text_rows import text_and_target_rows

_Result = TypeVar("_Result")


def encode_pairs(
    reader: TextReader, texts: Any, targets: Any, masks: tuple[Any, Any], contrast: Contrast | None
) -> list[EncodedPair]:
    """Returns all texts encoded, each with its contrast.

    Args:
      reader: encodes them for the model.
      texts: a text, several, or ids `[B, L]`.
      targets: as many, or None.
      masks: an attention mask of the targets, else of the texts; and one of the texts if there are targets.
      contrast: what they are compared with, or None.

    Raises:
      UsageError: if a text cannot be encoded or compared; the message has its number.
      TypeError: if a text is neither a string nor a row of ids.

    Example:
      >>> from jaxlm import models, pretrained
      >>> from jaxlm.steps import TextReader, encode_pairs
      >>> config = models.TransformerConfig(vocab_size=9, width=8, depth=1, num_heads=2, causal=True)
      >>> loaded = pretrained.Loaded(config, "causal_lm", models.build(config, "causal_lm"), {}, None, {})
      >>> (pair,) = encode_pairs(TextReader(loaded), [[5, 6, 7]], None, (None, None), None)
      >>> pair.text.tokens.tolist(), pair.text.targets.tolist()
      ([5, 6], [6, 7])
    """
    text_rows, target_rows = text_and_target_rows(texts, targets, *masks)
    if text_rows is None:
        raise UsageError("texts are a text, several, or ids [B, L]: got None")
    goals = [None] * len(text_rows) if target_rows is None else target_rows
    _check_same_number("targets", goals, text_rows)
    encoded = [
        _numbered(f"text {number}", reader.encode, text, goal)
        for number, (text, goal) in enumerate(zip(text_rows, goals, strict=True))
    ]
    if contrast is None:
        return [EncodedPair(text) for text in encoded]
    others = _encode_contrasts(reader, contrast, text_rows, goals, encoded)
    alignments = _alignments(contrast.alignment, len(encoded))
    force_inputs = contrast.force_inputs is None or bool(contrast.force_inputs)
    return [
        _numbered(f"text {number}", _pair, reader, *parts, force_inputs)
        for number, parts in enumerate(zip(encoded, others, alignments, strict=True))
    ]


def _pair(
    reader: TextReader, text: EncodedText, other: EncodedText, alignment: Any, force_inputs: bool
) -> EncodedPair:
    strings = (reader.strings(text.targets), reader.strings(other.targets))
    partners = align(alignment, text.targets, other.targets, strings=strings)
    if force_inputs:
        return EncodedPair(text, other, partners)
    # The contrast is the text itself, at whose positions the model is asked for the contrast's tokens.
    asked = np.where(partners < 0, text.targets, other.targets[np.maximum(partners, 0)])
    own = np.where(partners < 0, -1, np.arange(len(partners), dtype=np.int32))
    return EncodedPair(text, text._replace(targets=asked), own.astype(np.int32))


def _encode_contrasts(
    reader: TextReader, contrast: Contrast, texts: list[Any], targets: list[Any], encoded: list[EncodedText]
) -> list[EncodedText]:
    masks = contrast.attention_mask, contrast.text_attention_mask
    text_rows, target_rows = text_and_target_rows(contrast.texts, contrast.targets, *masks, of="contrast ")
    others = texts if text_rows is None else text_rows
    goals = [None] * len(encoded) if target_rows is None else target_rows
    _check_same_number("contrast texts", others, encoded)
    _check_same_number("contrast targets", goals, encoded)
    return [
        _numbered(f"contrast of text {number}", _encode_contrast, reader, *parts)
        for number, parts in enumerate(zip(others, goals, targets, encoded, strict=True))
    ]


def _encode_contrast(
    reader: TextReader, other: Any, goal: Any, target: Any, text: EncodedText
) -> EncodedText:
    """The contrast of a text; without a target of its own it predicts the targets of the text."""
    if goal is not None or target is None:
        return reader.encode(other, goal)
    if reader.kind == "causal":
        return reader.encode_continuation(other, text.targets)
    if reader.kind == "seq2seq":
        return reader.encode(other, text.targets)
    encoded = reader.encode(other)
    if len(encoded.positions) != len(text.positions):
        raise UsageError(
            f"a contrast has as many masks as its text, {len(text.positions)}, or targets of its own: got "
            f"{len(encoded.positions)}"
        )
    return encoded._replace(targets=text.targets)


def _alignments(alignment: Any, num: int) -> list[Any]:
    if isinstance(alignment, str):
        return [alignment] * num
    check_alignment(alignment)
    listed = list(alignment)
    # For one text its pairs may be given without a list around them.
    if num == 1 and listed and all(_is_pair(pair) for pair in listed):
        return [listed]
    if len(listed) != num:
        raise UsageError(f"an alignment has pairs for each of {num} texts: got {len(listed)}")
    return listed


def _is_pair(value: Any) -> bool:
    return np.iterable(value) and all(isinstance(index, (int, np.integer)) for index in value)


def _check_same_number(what: str, values: Sequence[Any], texts: Sequence[Any]) -> None:
    if len(values) != len(texts):
        raise UsageError(f"{what}: expected one for each of {len(texts)} texts, got {len(values)}")


def _numbered(what: str, make: Callable[..., _Result], *parts: Any) -> _Result:
    """Calls a function on the parts of a text; its error gets the text's number."""
    try:
        return make(*parts)
    except JaxlmError as error:
        raise UsageError(f"{what}: {error}") from error
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from error
