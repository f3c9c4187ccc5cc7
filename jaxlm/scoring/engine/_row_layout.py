"""Prefix trees laid out as the rows of a batch: tables of all trees, filled without a loop over tokens."""

from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine._device_rows import BatchShape, ContrastRows, DeviceRows, PackedBatch, QuerySlots
from jaxlm.scoring.engine._prefix_trees import PrefixTree, WaitingColumns
from jaxlm.scoring.engine._queries import run_indices


class _Questions(NamedTuple):
    """The questions of a batch as columns, those of a device one behind the other; `Int64[questions]` each.

    Attributes:
      numbers: of the first place.
      counts: places.
      shifts: what is added to the places behind the trunk.
      devices: which device is asked.
      firsts: the first position of the question's tree, on its device.
      trunks: how many tokens the trunk of the tree has.
      own_numbers: which of its device's questions it is.
    """

    numbers: np.ndarray
    counts: np.ndarray
    shifts: np.ndarray
    devices: np.ndarray
    firsts: np.ndarray
    trunks: np.ndarray
    own_numbers: np.ndarray


def lay_out_rows(rows: list[list[PrefixTree]], shape: BatchShape, columns: WaitingColumns) -> PackedBatch:
    """Returns a batch of rows, each of which holds trees one behind the other.

    Args:
      rows: no more than the shape has; trees of no larger size in all than a row.
      shape: of the batch.
      columns: where the trees' tokens and places are.
    """
    return _Layout(rows, shape).packed(columns)


class _Layout:
    """Where trees lie in a batch: tables of the trees, of their spans and of their questions.

    Args:
      rows: the trees of each row.
      shape: of the batch.
    """

    def __init__(self, rows: list[list[PrefixTree]], shape: BatchShape) -> None:
        self._shape = shape
        self._trees = [tree for row in rows for tree in row]
        in_row = np.array([len(row) for row in rows])
        widths = np.array([tree.width for tree in self._trees])
        row = np.repeat(np.arange(len(rows)), in_row)
        self._row, self._segment = row, run_indices(np.ones(len(rows), np.int64), in_row)
        self._column = run_offsets(widths, in_row)
        self._device, own_row = np.divmod(row, shape.rows)
        # The first position of each tree, on its device.
        self._first = own_row * shape.row_length + self._column
        self._trunk = np.array([tree.trunk for tree in self._trees])

    def packed(self, columns: WaitingColumns) -> PackedBatch:
        """Returns the batch as devices read it."""
        shape = self._shape
        tokens, segments, branches, positions, num_tokens = self._read(columns)
        asked, slots = self._questions()
        places, targets, queries, query_counts, count = self._asked(asked, columns)
        contrast = self._contrast(asked) if shape.contrasts else None
        rows = DeviceRows(
            tokens,
            segments,
            branches,
            positions,
            places,
            targets,
            count,
            queries if shape.least else None,
            query_counts if shape.least else None,
            contrast,
        )
        num_tokens += sum(len(tree.contrast.tokens) for tree in self._trees if tree.contrast is not None)
        return PackedBatch(rows, slots, num_tokens)

    def _read(self, columns: WaitingColumns) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
        """Tokens, segments, branches and positions; and how many tokens there are."""
        shape = self._shape
        numbers, lengths = np.array([span for tree in self._trees for span in tree.spans], np.int64).T
        num_spans = np.array([len(tree.spans) for tree in self._trees])
        branch = run_indices(np.zeros(len(num_spans), np.int64), num_spans)
        own, segment, trunk = (
            np.repeat(column, num_spans)
            for column in (self._row * shape.row_length + self._column, self._segment, self._trunk)
        )
        at = own + run_offsets(lengths, num_spans)
        over = _Runs(at, lengths, shape.num_positions)
        segments = over.filled(segment)
        is_read = segments > 0
        branches = over.filled(branch) if branch.any() else np.zeros_like(segments)
        sources = over.indices(numbers - columns.first_token)
        tokens = columns.tokens.take(sources, mode="clip") * is_read
        if columns.positions is None:
            positions = over.indices(np.where(branch > 0, trunk, 0)).astype(np.int32) * is_read
        else:
            positions = columns.positions.take(sources, axis=0, mode="clip")
            positions = positions * is_read.reshape(-1, *[1] * (positions.ndim - 1))
        of_devices = (shape.devices, shape.rows, shape.row_length)
        return (
            tokens.reshape(of_devices),
            segments.reshape(of_devices),
            branches.reshape(of_devices),
            positions.reshape(*of_devices, *positions.shape[1:]),
            int(lengths.sum()),
        )

    def _questions(self) -> tuple["_Questions", QuerySlots]:
        """The questions of the batch, those of a device one behind the other, and which query asks which."""
        trees, num_devices = self._trees, self._shape.devices
        table = [question for tree in trees for question in tree.questions]
        numbers, counts, shifts = np.array(table, np.int64).T
        of_tree = np.array([len(tree.questions) for tree in trees])
        device, first, trunk = (
            np.repeat(column, of_tree) for column in (self._device, self._first, self._trunk)
        )
        on_device = np.bincount(device, minlength=num_devices)
        starts = run_offsets(counts, on_device)
        own_numbers = run_indices(np.zeros(num_devices, np.int64), on_device)
        asked = _Questions(numbers, counts, shifts, device, first, trunk, own_numbers)
        slots = np.array([slot for tree in trees for slot in tree.slots], np.int64)
        of_slots = np.array([len(tree.slots) for tree in trees])
        index = np.repeat(np.cumsum(of_tree) - of_tree, of_slots) + slots[:, 1]
        return asked, QuerySlots(slots[:, 0], device[index], starts[index], counts[index], own_numbers[index])

    def _asked(
        self, asked: "_Questions", columns: WaitingColumns
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Places, targets and the query of each place; how many places each query and each device has."""
        shape = self._shape
        by_device = (shape.devices, shape.rows * shape.row_length)
        places, targets, queries = np.zeros((3, *by_device), np.int32)
        query_counts = np.zeros((shape.devices, shape.num_queries), np.int32)
        sources = run_indices(asked.numbers - columns.first_place, asked.counts)
        own = columns.places[sources]
        if asked.shifts.any():
            is_behind = own >= np.repeat(asked.trunks, asked.counts)
            own = own + np.where(is_behind, np.repeat(asked.shifts, asked.counts), 0)
        own, own_targets = own + np.repeat(asked.firsts, asked.counts), columns.targets[sources]
        count = np.bincount(asked.devices, asked.counts, shape.devices).astype(np.int32)
        ends = np.cumsum(count).tolist()
        own_queries = np.repeat(asked.own_numbers, asked.counts)
        for device, (end, num) in enumerate(zip(ends, count.tolist(), strict=True)):
            places[device, :num], targets[device, :num] = own[end - num : end], own_targets[end - num : end]
            queries[device, :num] = own_queries[end - num : end]
        if shape.least:
            query_counts[asked.devices, asked.own_numbers] = asked.counts
        return places, targets, queries, query_counts, count

    def _contrast(self, asked: "_Questions") -> ContrastRows:
        """What the rows are compared with, laid out as they are."""
        shape = self._shape
        size = (shape.num_rows, shape.row_length)
        tokens, segments, positions = np.zeros((3, *size), np.int32)
        places, targets = np.zeros((2, shape.devices, shape.rows * shape.row_length), np.int32)
        ends = [0] * shape.devices
        for index, tree in enumerate(self._trees):
            contrast, row, device = tree.contrast, self._row[index], self._device[index]
            if contrast is None:
                continue
            at = slice(self._column[index], self._column[index] + len(contrast.tokens))
            tokens[row, at], segments[row, at] = contrast.tokens, self._segment[index]
            positions[row, at] = np.arange(len(contrast.tokens))
            own = slice(ends[device], ends[device] + tree.num_asked)
            places[device, own] = np.tile(contrast.places, len(tree.questions)) + self._first[index]
            targets[device, own] = np.tile(contrast.targets, len(tree.questions))
            ends[device] = own.stop
        of_devices = (shape.devices, shape.rows, shape.row_length)
        return ContrastRows(
            tokens.reshape(of_devices),
            segments.reshape(of_devices),
            positions.reshape(of_devices),
            places,
            targets,
        )


class _Runs:
    """Runs of positions, in ascending order, with gaps before, between and behind them.

    Args:
      at: `Int64[n]` the first position of each run.
      lengths: `Int64[n]` how many positions each run has.
      size: of all positions.
    """

    def __init__(self, at: np.ndarray, lengths: np.ndarray, size: int) -> None:
        self._at, self._size = at, size
        # Gaps and runs by turns.
        self._parts = np.empty(2 * len(at) + 1, np.int64)
        self._parts[1::2] = lengths
        self._parts[:-1:2], self._parts[-1] = at, size
        self._parts[2::2] -= at + lengths

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Returns the value of each position's run, `Int32[size]`; 0 in the gaps."""
        parts = np.zeros(len(self._parts), np.int32)
        parts[1::2] = values
        return np.repeat(parts, self._parts)

    def indices(self, starts: np.ndarray) -> np.ndarray:
        """Returns indices that count up from each run's start, `Int64[size]`; any numbers in the gaps."""
        parts = np.zeros(len(self._parts), np.int64)
        parts[1::2] = starts - self._at
        return np.arange(self._size) + np.repeat(parts, self._parts)


def run_offsets(lengths: np.ndarray, group_sizes: np.ndarray) -> np.ndarray:
    """Returns where each run begins in its group, in which runs lie one behind the other.

    Args:
      lengths: `Int64[n]` of the runs.
      group_sizes: `Int64[g]` how many runs each group has, n in all.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.engine._row_layout import run_offsets
      >>> run_offsets(np.array([3, 1, 2, 5]), np.array([3, 0, 1])).tolist()
      [0, 3, 4, 0]
    """
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return ends[:-1] - np.repeat(ends[np.cumsum(group_sizes) - group_sizes], group_sizes)
