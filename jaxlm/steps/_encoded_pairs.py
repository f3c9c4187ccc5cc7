"""What a model is asked of texts: a run of each, and the run that it is compared with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlm.errors import JaxlmError, UsageError
from jaxlm.steps._alignment import align, check_alignment
from jaxlm.steps._contrast import Contrast
from jaxlm.steps._encoded_texts import EncodedText, TextReader
from jaxlm.steps._layout import EncodedPair
from jaxlm.steps._text_rows import text_and_target_rows


def encode_pairs(
    reader: TextReader, texts: Any, targets: Any, masks: tuple[Any, Any], contrast: Contrast | None
) -> list[EncodedPair]:
    """Returns the runs of all texts, each with its contrast.

    Args:
      reader: how the model reads them.
      texts: a text, several, or ids `[B, L]`.
      targets: as many, or None.
      masks: an attention mask of the targets, else of the texts; and one of the texts beside targets.
      contrast: what they are compared with, or None.

    Raises:
      UsageError: naming the text by its number, if one of them cannot be read or compared.
      TypeError: if one is neither a string nor a row of ids.
    """
    texts, goals = text_and_target_rows(texts, targets, *masks)
    goals = [None] * len(texts) if goals is None else goals
    _check_as_many("targets", goals, texts)
    runs = [
        _told(f"text {number}", reader.run, *pair)
        for number, pair in enumerate(zip(texts, goals, strict=True))
    ]
    if contrast is None:
        return [EncodedPair(run) for run in runs]
    others = _contrast_runs(reader, contrast, texts, goals, runs)
    alignments = _alignments(contrast.alignment, len(runs))
    return [
        _told(f"text {number}", _unit, reader, *parts, contrast.force_inputs)
        for number, parts in enumerate(zip(runs, others, alignments, strict=True))
    ]


def _unit(
    reader: TextReader, run: EncodedText, other: EncodedText, alignment: Any, force_inputs: bool
) -> EncodedPair:
    strings = (reader.strings(run.targets), reader.strings(other.targets))
    partners = align(alignment, run.targets, other.targets, strings=strings)
    if force_inputs:
        return EncodedPair(run, other, partners)
    # The run itself once more: at its own places it is asked for the contrast's tokens.
    asked = np.where(partners < 0, run.targets, other.targets[np.maximum(partners, 0)])
    own = np.where(partners < 0, -1, np.arange(len(partners), dtype=np.int32))
    return EncodedPair(run, run._replace(targets=asked), own.astype(np.int32))


def _contrast_runs(
    reader: TextReader, contrast: Contrast, texts: list[Any], targets: list[Any], runs: list[EncodedText]
) -> list[EncodedText]:
    masks = contrast.attention_mask, contrast.text_attention_mask
    others, goals = text_and_target_rows(contrast.texts, contrast.targets, *masks, of="contrast ")
    others = texts if others is None else others
    goals = [None] * len(runs) if goals is None else goals
    _check_as_many("contrast texts", others, runs)
    _check_as_many("contrast targets", goals, runs)
    return [
        _told(f"contrast of text {number}", _contrast_run, reader, *parts)
        for number, parts in enumerate(zip(others, goals, targets, runs, strict=True))
    ]


def _contrast_run(reader: TextReader, text: Any, goal: Any, target: Any, run: EncodedText) -> EncodedText:
    """The run of a contrast; what it predicts is, unless said, what the run itself predicts."""
    if goal is not None or target is None:
        return reader.run(text, goal)
    if reader.kind == "causal":
        return reader.continued(text, run.targets)
    if reader.kind == "seq2seq":
        return reader.run(text, run.targets)
    other = reader.run(text)
    if len(other.places) != len(run.places):
        raise UsageError(
            f"a contrast has as many masks as its text, {len(run.places)}, or targets of its own: got "
            f"{len(other.places)}"
        )
    return other._replace(targets=run.targets)


def _alignments(alignment: Any, num: int) -> list[Any]:
    if isinstance(alignment, str):
        return [alignment] * num
    check_alignment(alignment)
    listed = list(alignment)
    # One text's pairs need no list around them.
    if num == 1 and listed and all(_is_pair(one) for one in listed):
        return [listed]
    if len(listed) != num:
        raise UsageError(f"an alignment has pairs for each of {num} texts: got {len(listed)}")
    return listed


def _is_pair(value: Any) -> bool:
    return np.iterable(value) and all(isinstance(index, (int, np.integer)) for index in value)


def _check_as_many(what: str, ours: Sequence[Any], texts: Sequence[Any]) -> None:
    if len(ours) != len(texts):
        raise UsageError(f"{what}: expected one for each of {len(texts)} texts, got {len(ours)}")


def _told(what: str, make: Any, *parts: Any) -> Any:
    """What a function makes of a text's parts; its error names the text."""
    try:
        return make(*parts)
    except JaxlmError as error:
        raise UsageError(f"{what}: {error}") from error
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from error
