"""Encoded texts as padded rows of few shapes, together with what is explained of them.

Letters: `B` rows of a batch, `L` positions of a row, `S` positions of an encoder's row, `M` explained
predictions of a row, `D` width.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm import ops, steps
from jaxlm.attribution._predictions import Counts, Sides
from jaxlm.typing import AnyArray

SHORTEST = 16


class ExplainedText(NamedTuple):
    """One text that is explained.

    Attributes:
      number: its index among the texts.
      pair: the encoded text, and its contrast if there is one.
      baseline: what replaces its tokens; None: the method needs no baseline.
      is_forced: whether the contrast's logits come from a run on the contrast's own tokens.
    """

    number: int
    pair: steps.EncodedPair
    baseline: Sides | None
    is_forced: bool


class RowShape(NamedTuple):
    """The shape of the rows that a text is in, which depends on this text alone.

    Attributes:
      length: L.
      source_length: S; 0 without an encoder.
      predictions: M.
      contrast_length: L of the contrast's rows; 0 without such rows.
    """

    length: int
    source_length: int
    predictions: int
    contrast_length: int


class ReadRows(NamedTuple):
    """Rows of ids: `Int32[B L]`, their segments (1 = real, 0 = padding), and the same of an encoder."""

    tokens: AnyArray
    segments: AnyArray
    sources: AnyArray | None = None
    source_segments: AnyArray | None = None


class ExplainedBatch(NamedTuple):
    """The arrays of one device.

    Attributes:
      rows: what the model reads.
      baseline: ids `Int32[B L]` or vectors `Float32[B L D]` (L or D may be 1) of each side; None: none.
      positions: `Int32[B M]`; -1 in unused entries.
      targets: `Int32[B M]`.
      contrast: the rows of the contrast; None: the contrast's logits are those of `rows`.
      contrast_positions: `Int32[B M]`; None without rows of the contrast.
      contrast_targets: `Int32[B M]`; None without a contrast.
      row_names: `UInt32[B]`, what the draws of a row depend on besides the key.
      names: `UInt32[B M 2]`, what the draws of a prediction depend on.
      counts: how many predictions and positions are used.
    """

    rows: ReadRows
    baseline: Sides | None
    positions: AnyArray
    targets: AnyArray
    contrast: ReadRows | None
    contrast_positions: AnyArray | None
    contrast_targets: AnyArray | None
    row_names: AnyArray
    names: AnyArray
    counts: Counts


def row_shape(item: ExplainedText, longest: int) -> RowShape:
    """Returns the shape of the rows for a text.

    Args:
      item: the text.
      longest: the most positions of a row.
    """

    def length(size: int) -> int:
        return max(min(ops.fine_bucket(size, SHORTEST), longest), size)

    text, contrast = item.pair.text, item.pair.contrast
    source_length = 0 if text.source is None else length(len(text.source))
    other = 0
    if item.is_forced and contrast is not None:
        other = length(len(contrast.tokens))
        if contrast.source is not None:
            source_length = max(source_length, length(len(contrast.source)))
    return RowShape(length(len(text.tokens)), source_length, ops.bucket(len(text.positions)), other)


def group_items(
    items: Sequence[ExplainedText], longest: int
) -> Iterator[tuple[RowShape, list[ExplainedText]]]:
    """Yields the texts by the shape of their rows.

    Args:
      items: the texts.
      longest: the most positions of a row.
    """
    groups: dict[tuple[RowShape, Any], list[ExplainedText]] = {}
    for item in items:
        # Ids and vectors of baselines make other programs.
        kinds = () if item.baseline is None else tuple(_kind(one) for one in item.baseline)
        groups.setdefault((row_shape(item, longest), kinds), []).append(item)
    for (shape, _), members in groups.items():
        yield shape, members


def fill_explained(items: Sequence[ExplainedText], shape: RowShape, num_rows: int) -> ExplainedBatch:
    """Returns a batch; rows without a text are padding.

    Args:
      items: the texts, at most `num_rows`; one at least.
      shape: of the rows.
      num_rows: B.
    """
    asked = (num_rows, shape.predictions)
    positions, targets = np.full(asked, -1, np.int32), np.zeros(asked, np.int32)
    other_positions, other_targets = np.full(asked, -1, np.int32), np.zeros(asked, np.int32)
    row_names, names = np.zeros(num_rows, np.uint32), np.zeros((*asked, 2), np.uint32)
    for row, item in enumerate(items):
        text, used = item.pair.text, slice(0, len(item.pair.text.positions))
        digest = steps.ids_digest(text)
        positions[row, used], targets[row, used] = text.positions, text.targets
        row_names[row], names[row, used, 0], names[row, used, 1] = digest, digest, text.offsets
        if item.pair.contrast is not None and item.pair.partners is not None:
            partners = np.maximum(item.pair.partners, 0)
            # What has nothing to be compared with is not explained.
            positions[row, used] = np.where(item.pair.partners < 0, -1, text.positions)
            other_positions[row, used] = item.pair.contrast.positions[partners]
            other_targets[row, used] = item.pair.contrast.targets[partners]
    texts = [item.pair.text for item in items]
    contrasts = [item.pair.contrast for item in items if item.pair.contrast is not None]
    is_forced = bool(shape.contrast_length)
    contrast = None
    if is_forced:
        contrast = _rows(contrasts, num_rows, shape.contrast_length, shape.source_length)
    return ExplainedBatch(
        rows=_rows(texts, num_rows, shape.length, shape.source_length),
        baseline=_baselines(items, shape, num_rows),
        positions=positions,
        targets=targets,
        contrast=contrast,
        contrast_positions=other_positions if is_forced else None,
        contrast_targets=other_targets if contrasts else None,
        row_names=row_names,
        names=names,
        counts=_counts(texts),
    )


def _counts(texts: Sequence[steps.EncodedText]) -> Counts:
    sizes = [[len(text.positions), len(text.tokens)] for text in texts]
    counts = Counts(*(np.array(max(column), np.int32) for column in zip(*sizes, strict=True)))
    if texts[0].source is None:
        return counts
    lengths = [len(text.source) for text in texts if text.source is not None]
    return counts._replace(source=np.array(max(lengths), np.int32))


def _rows(texts: Sequence[steps.EncodedText], num_rows: int, length: int, source_length: int) -> ReadRows:
    rows = ReadRows(*_padded([text.tokens for text in texts], num_rows, length))
    if not source_length:
        return rows
    sources = _padded([text.source for text in texts if text.source is not None], num_rows, source_length)
    return ReadRows(rows.tokens, rows.segments, *sources)


def _padded(ids: Sequence[np.ndarray], num_rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    tokens, segments = (np.zeros((num_rows, length), np.int32) for _ in range(2))
    for row, own in enumerate(ids):
        tokens[row, : len(own)], segments[row, : len(own)] = own, 1
    return tokens, segments


def _kind(baseline: np.ndarray | None) -> tuple[Any, ...]:
    return () if baseline is None else (baseline.dtype.kind, baseline.ndim, baseline.shape[-1:] == (1,))


def _baselines(items: Sequence[ExplainedText], shape: RowShape, num_rows: int) -> Sides | None:
    if items[0].baseline is None:
        return None

    def of(side: int, length: int) -> np.ndarray | None:
        own = [None if item.baseline is None else item.baseline[side] for item in items]
        given = [one for one in own if one is not None]
        if not given:
            return None
        if given[0].dtype.kind == "i":
            return _padded(given, num_rows, length)[0]
        if given[0].ndim == 1:  # one vector for every position
            vectors = np.zeros((num_rows, 1, given[0].shape[0]), np.float32)
            vectors[: len(given), 0] = given
            return vectors
        vectors = np.zeros((num_rows, length, given[0].shape[1]), np.float32)
        for row, one in enumerate(given):
            vectors[row, : len(one)] = one
        return vectors

    return Sides(of(0, shape.length), of(1, shape.source_length))
