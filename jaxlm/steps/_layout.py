"""Runs laid out as rows of few sizes, each beside its contrast, for one forward of the model.

Letters: `R` rows of a batch, `L` positions of a row, `S` positions of an encoder's row, `M` places that are
asked, as many as there are positions.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import data, ops
from jaxlm.steps._encoded_texts import EncodedText

# Beside a text of some length, a row holds others up to a few times that length.
ROW_LENGTHS = (256, 1024)
# Batches that are worth the compilation of another shape.
MANY_BATCHES = 16
SHORTEST_ROW = 16
# Rows of a decoder and of its encoder are as long as each other if neither needs more than this times the
# other's length: six lengths up to 512 instead of 36 pairs of them, for at most 1.6 times the positions.
ALIKE = 4


# Lengths of a row and of its encoder's; the same of what is read under dropout.
RowLengths = tuple[tuple[int, int], tuple[int, int] | None]


class EncodedPair(NamedTuple):
    """A run and what it is compared with, which are read in one batch.

    Attributes:
      run: the run.
      contrast: the other run; None without a contrast.
      partners: `Int32[M]` for each predicted token the index of the contrast's that it is compared with, -1
        for none; None without a contrast.
    """

    run: EncodedText
    contrast: EncodedText | None = None
    partners: np.ndarray | None = None

    @property
    def length(self) -> int:
        """Positions of a row that it takes, as many for the contrast."""
        return max(len(run.tokens) for run in self._runs)

    @property
    def source_length(self) -> int:
        """The same of an encoder's row; 0 for other models."""
        return max(0 if run.source is None else len(run.source) for run in self._runs)

    @property
    def _runs(self) -> list[EncodedText]:
        return [run for run in (self.run, self.contrast) if run is not None]


class StepBatch(NamedTuple):
    """What a device reads and is asked. With contrasts there are twice the rows, theirs behind the others'.

    Attributes:
      tokens, segments: `Int32[R L]`, segments from 1, 0 = padding.
      sources, source_segments: `Int32[R S]` of an encoder-decoder; else None.
      noisy: what is read under dropout: the same four arrays of the runs alone, as long as the runs ask
        whatever their contrasts ask; None without dropout.
      row_names: `UInt32[R]` what the draws of a row depend on, besides the key; without contrasts' rows.
      places: `Int32[M]` flat in `R * L`, the first `count` of them asked.
      targets: `Int32[M]` ids.
      contrast_places, contrast_targets: `Int32[M]`; None without contrasts.
      names: `UInt32[M 2]` what the draws of a place depend on.
      count: `Int32[]`.
    """

    tokens: np.ndarray
    segments: np.ndarray
    sources: np.ndarray | None
    source_segments: np.ndarray | None
    noisy: tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None] | None
    row_names: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    contrast_places: np.ndarray | None
    contrast_targets: np.ndarray | None
    names: np.ndarray
    count: np.ndarray


class RowPlan(NamedTuple):
    """Which units stand in which rows of a batch.

    Attributes:
      num_rows: of the batch, without those of contrasts.
      length: L.
      source_length: S, 0 without an encoder.
      noisy: length and source length of the rows that are read under dropout; None without dropout.
      units: (unit, row, column) of each.
    """

    num_rows: int
    length: int
    source_length: int
    noisy: tuple[int, int] | None
    units: list[tuple[int, int, int]]


def plan_rows(
    units: Sequence[EncodedPair], *, positions: int, longest: int, draws: bool, num_devices: int = 1
) -> Iterator[RowPlan]:
    """Yields batches in which every unit stands once.

    Args:
      units: the runs.
      positions: of a batch, or of its longest row where that has more.
      longest: the most that a row may have.
      draws: whether the runs are repeated under dropout, in rows of lengths that follow from the run alone.
        Then a row holds one unit, as it does where an encoder's rows are laid out with it.
      num_devices: that will share the batches.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps._encoded_texts import EncodedText
      >>> from jaxlm.steps._layout import EncodedPair, plan_rows
      >>> run = EncodedText(np.arange(3), None, *(np.arange(3),) * 3)
      >>> [rows.units for rows in plan_rows([EncodedPair(run)] * 2, positions=64, longest=64, draws=False)]
      [[(0, 0, 0), (1, 0, 3)]]
    """
    is_alone = draws or any(unit.source_length for unit in units)
    groups = _alone(units, longest, draws=draws) if is_alone else _packed(units, positions, longest)
    for ((length, source_length), noisy), rows in groups:
        most = max(positions // max(length, source_length), 1)
        num_rows = min(most, ops.bucket(-(-len(rows) // num_devices)))
        for start in range(0, len(rows), num_rows):
            chunk = rows[start : start + num_rows]
            placed = [(unit, row, column) for row, held in enumerate(chunk) for unit, column in held]
            yield RowPlan(num_rows, length, source_length, noisy, placed)


def fill_rows(units: Sequence[EncodedPair], rows: RowPlan) -> tuple[StepBatch, list[tuple[int, slice]]]:
    """Returns a batch as arrays, and which of its answers are whose: (unit, slice of the places).

    Args:
      units: all of them.
      rows: the batch's.
    """
    has_contrast = any(units[unit].contrast is not None for unit, _, _ in rows.units)
    height = (2 if has_contrast else 1) * rows.num_rows
    num = rows.num_rows * rows.length
    tokens, segments = (np.zeros((height, rows.length), np.int32) for _ in range(2))
    sources, source_segments = (np.zeros((height, max(rows.source_length, 1)), np.int32) for _ in range(2))
    row_names = np.zeros(rows.num_rows, np.uint32)
    asked = {name: np.zeros(num, np.int32) for name in ("places", "targets", "others", "other_targets")}
    names, answers, count = np.zeros((num, 2), np.uint32), [], 0
    next_segment = np.ones(rows.num_rows, np.int32)
    for index, row, column in rows.units:
        unit, segment = units[index], next_segment[row]
        next_segment[row], row_names[row] = segment + 1, ids_digest(unit.run)
        span = slice(count, count + len(unit.run.places))
        for run, line in ((unit.run, row), (unit.contrast, row + rows.num_rows)):
            if run is None:
                continue
            tokens[line, column : column + len(run.tokens)] = run.tokens
            segments[line, column : column + len(run.tokens)] = segment
            if run.source is not None:
                sources[line, : len(run.source)], source_segments[line, : len(run.source)] = run.source, 1
        start = row * rows.length + column
        asked["places"][span], asked["targets"][span] = start + unit.run.places, unit.run.targets
        names[span, 0], names[span, 1] = ids_digest(unit.run), unit.run.offsets
        if unit.contrast is not None:
            # A place without a partner is answered for its first one, which nobody looks at.
            partners, behind = np.maximum(unit.partners, 0), num + start
            asked["others"][span] = behind + unit.contrast.places[partners]
            asked["other_targets"][span] = unit.contrast.targets[partners]
        answers.append((index, span))
        count = span.stop
    read = (tokens, segments, *((sources, source_segments) if rows.source_length else (None, None)))
    batch = StepBatch(
        *read,
        noisy=None if rows.noisy is None else _shortened(read, rows),
        row_names=row_names,
        places=asked["places"],
        targets=asked["targets"],
        contrast_places=asked["others"] if has_contrast else None,
        contrast_targets=asked["other_targets"] if has_contrast else None,
        names=names,
        count=np.int32(count),
    )
    return batch, answers


def _shortened(read: tuple[np.ndarray | None, ...], rows: RowPlan) -> tuple[np.ndarray | None, ...]:
    """The rows of the runs without those of contrasts, as long as they are read under dropout."""
    lengths = (rows.noisy[0],) * 2 + (rows.noisy[1],) * 2
    return tuple(
        None if array is None else array[: rows.num_rows, :length]
        for array, length in zip(read, lengths, strict=True)
    )


def ids_digest(run: EncodedText) -> np.uint32:
    """Returns a digest of the ids that are read, so that a text's draws are its own wherever it stands.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps._encoded_texts import EncodedText
      >>> from jaxlm.steps._layout import ids_digest
      >>> empty = np.zeros(0, np.int32)
      >>> ids_digest(EncodedText(np.array([1, 2]), None, empty, empty, empty)).item()
      58791804
    """
    source = b"" if run.source is None else run.source.astype("<i4").tobytes()
    return np.uint32(zlib.crc32(source + run.tokens.astype("<i4").tobytes()))


def _alone(units: Sequence[EncodedPair], longest: int, *, draws: bool) -> Iterator[tuple[RowLengths, list]]:
    groups: dict[RowLengths, list] = {}
    for index, unit in enumerate(units):
        noisy = _row_lengths(EncodedPair(unit.run), longest) if draws else None
        length, source_length = map(max, _row_lengths(unit, longest), noisy or (0, 0))
        groups.setdefault(((length, source_length), noisy), []).append([(index, 0)])
    yield from sorted(groups.items())


def _row_lengths(unit: EncodedPair, longest: int) -> tuple[int, int]:
    """The lengths of a unit's row and of its encoder's: powers of two, and the same if they are alike."""
    sizes = [ops.bucket(size, SHORTEST_ROW) if size else 0 for size in (unit.length, unit.source_length)]
    if min(sizes) * ALIKE >= max(sizes):
        sizes = [max(sizes)] * 2
    return min(sizes[0], longest), min(sizes[1], longest)


def _packed(units: Sequence[EncodedPair], positions: int, longest: int) -> Iterator[tuple[RowLengths, list]]:
    sizes = np.array([unit.length for unit in units])
    full = min(ops.fine_bucket(int(sizes.max()), SHORTEST_ROW), longest)
    is_much = sizes.sum() >= MANY_BATCHES * max(positions, full)
    shorter = [length for length in ROW_LENGTHS if length < full] if is_much else []
    rows_of = np.full(len(units), full)
    for length in reversed(shorter):
        rows_of[sizes <= length // 4] = length
    for length in sorted(set(rows_of.tolist())):
        held = np.flatnonzero(rows_of == length)
        plan = data.plan_packing(sizes[held], length)
        pieces = list(zip(held[plan.example].tolist(), plan.column.tolist(), strict=True))
        bounds = zip(plan.row_starts[:-1].tolist(), plan.row_starts[1:].tolist(), strict=True)
        yield ((length, 0), None), [pieces[first:last] for first, last in bounds]
