"""Encoded texts as rows of few sizes, each together with its contrast, for one forward pass of the model.

Letters: `B` rows of a batch, `L` positions of a row, `S` positions of an encoder's row, `M` positions at
which the model predicts, padded to as many as the rows have.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import data, ops
from jaxlm.steps._encoded_texts import EncodedText
from jaxlm.typing import AnyArray

# Rows of texts that are short in comparison with the longest one; a text takes at most a quarter of its row.
ROW_LENGTHS = (256, 1024)
# With at least so many batches, compiling for another row length is worth its time.
MANY_BATCHES = 16
SHORTEST_ROW = 16
# A decoder's rows and its encoder's get the same length if neither is more than this times as long as the
# other: six lengths up to 512 instead of 36 pairs, for at most 1.6 times the positions.
MAX_LENGTH_RATIO = 4

# Lengths of a row and of its encoder's row; and both again for the rows under dropout, or None.
RowLengths = tuple[tuple[int, int], tuple[int, int] | None]
# A row as a plan has it: the index and the column of each pair in it.
PlannedRow = list[tuple[int, int]]


class EncodedPair(NamedTuple):
    """An encoded text and its contrast, which are in one batch.

    Attributes:
      text: the text.
      contrast: the text that it is compared with; None without a contrast.
      partners: `Int32[M]` for each predicted token the index of the contrast's token that it is compared
        with, -1 for none; None without a contrast.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps import EncodedPair, EncodedText
      >>> one = np.arange(1)
      >>> EncodedPair(EncodedText(np.arange(3), None, one, one, one)).length
      3
    """

    text: EncodedText
    contrast: EncodedText | None = None
    partners: np.ndarray | None = None

    @property
    def length(self) -> int:
        """How many positions of a row the text takes; the contrast takes as many of a row of its own."""
        return max(len(text.tokens) for text in self._texts)

    @property
    def source_length(self) -> int:
        """How many positions of an encoder's row it takes; 0 for other models."""
        return max(0 if text.source is None else len(text.source) for text in self._texts)

    @property
    def _texts(self) -> list[EncodedText]:
        return [text for text in (self.text, self.contrast) if text is not None]


class RowArrays(NamedTuple):
    """The rows that a model reads.

    Attributes:
      tokens: `Int32[B L]` ids.
      segments: `Int32[B L]` from 1, 0 = padding.
      sources: `Int32[B S]` ids that an encoder-decoder's encoder reads; else None.
      source_segments: `Int32[B S]` 1 = real, 0 = padding; None without sources.
    """

    tokens: AnyArray
    segments: AnyArray
    sources: AnyArray | None
    source_segments: AnyArray | None


class StepBatch(NamedTuple):
    """The rows that one device reads and the positions at which it predicts.

    With contrasts there are twice as many rows: those of the contrasts follow those of the texts.

    Attributes:
      tokens: `Int32[B L]` ids.
      segments: `Int32[B L]` from 1, 0 = padding.
      sources: `Int32[B S]` ids that an encoder-decoder's encoder reads; else None.
      source_segments: `Int32[B S]` 1 = real, 0 = padding; None without sources.
      noisy: the rows to read under dropout, without contrasts; their lengths do not depend on the contrasts.
        None without dropout.
      row_names: `UInt32[B]` what the draws of a row depend on, besides the key; without contrasts' rows.
      positions: `Int32[M]` indices into the `B * L` flattened positions; the first `count` are used.
      targets: `Int32[M]` ids.
      contrast_positions: `Int32[M]` the positions of the contrast; None without contrasts.
      contrast_targets: `Int32[M]` the contrast's ids; None without contrasts.
      names: `UInt32[M 2]` what the draws at a position depend on.
      count: `Int32[]` how many positions are used.
    """

    tokens: AnyArray
    segments: AnyArray
    sources: AnyArray | None
    source_segments: AnyArray | None
    noisy: RowArrays | None
    row_names: AnyArray
    positions: AnyArray
    targets: AnyArray
    contrast_positions: AnyArray | None
    contrast_targets: AnyArray | None
    names: AnyArray
    count: AnyArray

    @property
    def rows(self) -> RowArrays:
        """The rows that the model reads without dropout."""
        return RowArrays(self.tokens, self.segments, self.sources, self.source_segments)


class RowPlan(NamedTuple):
    """Where the pairs of a batch are.

    Attributes:
      num_rows: of the batch, without those of contrasts.
      length: L.
      source_length: S, 0 without an encoder.
      noisy: length and source length of the rows that are read under dropout; None without dropout.
      pairs: (index, row, column) of each pair.
    """

    num_rows: int
    length: int
    source_length: int
    noisy: tuple[int, int] | None
    pairs: list[tuple[int, int, int]]


def plan_rows(
    pairs: Sequence[EncodedPair], *, positions: int, longest: int, draws: bool, num_devices: int = 1
) -> Iterator[RowPlan]:
    """Yields the batches that hold all pairs, each pair once.

    Args:
      pairs: the texts and their contrasts.
      positions: how many positions a batch has, or as many as its longest row if that has more.
      longest: the most positions of a row.
      draws: whether the texts are also read under dropout, in rows whose lengths depend on the text
        alone. Then a row holds one pair, as it does for an encoder-decoder.
      num_devices: how many devices share the batches.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps._encoded_texts import EncodedText
      >>> from jaxlm.steps._layout import EncodedPair, plan_rows
      >>> text = EncodedText(np.arange(3), None, *(np.arange(3),) * 3)
      >>> plans = plan_rows([EncodedPair(text)] * 2, positions=64, longest=64, draws=False)
      >>> [plan.pairs for plan in plans]
      [[(0, 0, 0), (1, 0, 3)]]
    """
    is_alone = draws or any(pair.source_length for pair in pairs)
    groups = _one_pair_a_row(pairs, longest, draws=draws) if is_alone else _packed(pairs, positions, longest)
    for ((length, source_length), noisy), rows in groups:
        most = max(positions // max(length, source_length), 1)
        num_rows = min(most, ops.bucket(-(-len(rows) // num_devices)))
        for start in range(0, len(rows), num_rows):
            chunk = rows[start : start + num_rows]
            placed = [(pair, row, column) for row, planned in enumerate(chunk) for pair, column in planned]
            yield RowPlan(num_rows, length, source_length, noisy, placed)


def fill_rows(pairs: Sequence[EncodedPair], plan: RowPlan) -> tuple[StepBatch, list[tuple[int, slice]]]:
    """Returns a batch as arrays, and where the results of each pair are: (index, slice of the positions).

    Args:
      pairs: all pairs.
      plan: which of them the batch holds, and where.
    """
    has_contrast = any(pairs[index].contrast is not None for index, _, _ in plan.pairs)
    height = (2 if has_contrast else 1) * plan.num_rows
    num = plan.num_rows * plan.length
    tokens, segments = (np.zeros((height, plan.length), np.int32) for _ in range(2))
    sources, source_segments = (np.zeros((height, max(plan.source_length, 1)), np.int32) for _ in range(2))
    row_names = np.zeros(plan.num_rows, np.uint32)
    positions, targets, contrast_positions, contrast_targets = (np.zeros(num, np.int32) for _ in range(4))
    names, answers, count = np.zeros((num, 2), np.uint32), [], 0
    next_segment = np.ones(plan.num_rows, np.int32)
    for index, row, column in plan.pairs:
        pair, segment = pairs[index], next_segment[row]
        digest = ids_digest(pair.text)
        next_segment[row], row_names[row] = segment + 1, digest
        span = slice(count, count + len(pair.text.positions))
        for text, line in ((pair.text, row), (pair.contrast, row + plan.num_rows)):
            if text is None:
                continue
            tokens[line, column : column + len(text.tokens)] = text.tokens
            segments[line, column : column + len(text.tokens)] = segment
            if text.source is not None:
                sources[line, : len(text.source)], source_segments[line, : len(text.source)] = text.source, 1
        start = row * plan.length + column
        positions[span], targets[span] = start + pair.text.positions, pair.text.targets
        names[span, 0], names[span, 1] = digest, pair.text.offsets
        if pair.contrast is not None and pair.partners is not None:
            # A token without a partner is compared with the contrast's first one; that result is not used.
            partners = np.maximum(pair.partners, 0)
            contrast_positions[span] = num + start + pair.contrast.positions[partners]
            contrast_targets[span] = pair.contrast.targets[partners]
        answers.append((index, span))
        count = span.stop
    with_sources = (sources, source_segments) if plan.source_length else (None, None)
    rows = RowArrays(tokens, segments, *with_sources)
    batch = StepBatch(
        *rows,
        noisy=None if plan.noisy is None else _noisy_rows(rows, plan.num_rows, *plan.noisy),
        row_names=row_names,
        positions=positions,
        targets=targets,
        contrast_positions=contrast_positions if has_contrast else None,
        contrast_targets=contrast_targets if has_contrast else None,
        names=names,
        count=np.array(count, np.int32),
    )
    return batch, answers


def _noisy_rows(rows: RowArrays, num_rows: int, length: int, source_length: int) -> RowArrays:
    """The rows without those of contrasts, cut to the lengths that are read under dropout."""
    return RowArrays(
        rows.tokens[:num_rows, :length],
        rows.segments[:num_rows, :length],
        None if rows.sources is None else rows.sources[:num_rows, :source_length],
        None if rows.source_segments is None else rows.source_segments[:num_rows, :source_length],
    )


def ids_digest(text: EncodedText) -> np.uint32:
    """Returns a digest of the ids that are read; a text's draws depend on it, and so not on its batch.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps._encoded_texts import EncodedText
      >>> from jaxlm.steps import ids_digest
      >>> empty = np.zeros(0, np.int32)
      >>> ids_digest(EncodedText(np.array([1, 2]), None, empty, empty, empty)).item()
      58791804
    """
    source = b"" if text.source is None else text.source.astype("<i4").tobytes()
    return np.uint32(zlib.crc32(source + text.tokens.astype("<i4").tobytes()))


def _one_pair_a_row(
    pairs: Sequence[EncodedPair], longest: int, *, draws: bool
) -> Iterator[tuple[RowLengths, list[PlannedRow]]]:
    """Yields groups of rows of the same lengths, each row with one pair."""
    groups: dict[RowLengths, list[PlannedRow]] = {}
    for index, pair in enumerate(pairs):
        noisy = _row_lengths(EncodedPair(pair.text), longest) if draws else None
        length, source_length = map(max, _row_lengths(pair, longest), noisy or (0, 0))
        groups.setdefault(((length, source_length), noisy), []).append([(index, 0)])
    yield from sorted(groups.items())


def _row_lengths(pair: EncodedPair, longest: int) -> tuple[int, int]:
    """The lengths of a pair's row and of its encoder's: powers of two, and equal if they are similar."""
    sizes = [ops.bucket(size, SHORTEST_ROW) if size else 0 for size in (pair.length, pair.source_length)]
    if min(sizes) * MAX_LENGTH_RATIO >= max(sizes):
        sizes = [max(sizes)] * 2
    return min(sizes[0], longest), min(sizes[1], longest)


def _packed(
    pairs: Sequence[EncodedPair], positions: int, longest: int
) -> Iterator[tuple[RowLengths, list[PlannedRow]]]:
    """Yields groups of rows of the same length into which several pairs are packed."""
    sizes = np.array([pair.length for pair in pairs])
    full = min(ops.fine_bucket(int(sizes.max()), SHORTEST_ROW), longest)
    is_much = sizes.sum() >= MANY_BATCHES * max(positions, full)
    shorter = [length for length in ROW_LENGTHS if length < full] if is_much else []
    row_lengths = np.full(len(pairs), full)
    for length in reversed(shorter):
        row_lengths[sizes <= length // 4] = length
    for length in sorted(set(row_lengths.tolist())):
        members = np.flatnonzero(row_lengths == length)
        plan = data.plan_packing(sizes[members], length)
        placed = list(zip(members[plan.example].tolist(), plan.column.tolist(), strict=True))
        bounds = zip(plan.row_starts[:-1].tolist(), plan.row_starts[1:].tolist(), strict=True)
        yield ((length, 0), None), [placed[first:last] for first, last in bounds]
