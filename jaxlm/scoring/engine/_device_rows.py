"""A batch: prefix trees laid out as the rows that devices read, and which answer belongs to which query.

Letters: `n` devices, `B L` rows of a device, `Q` queries of a device, `q` queries of the batch.
"""

from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine._prefix_trees import PrefixTree, WaitingColumns
from jaxlm.scoring.engine._queries import QueryBlock, run_indices
from jaxlm.typing import AnyArray


class BatchShape(NamedTuple):
    """The shape of a batch.

    Attributes:
      devices: n, each of which reads `rows` rows.
      rows: B, of a device.
      row_length: L; also as many questions for each row.
      wide: whether positions are pairs.
      contrasts: whether each row has another beside it, for what its queries are compared with.
      least: if there is an answer a query, the positions that a query takes at least; 0: there is an answer a
        place.
    """

    devices: int
    rows: int
    row_length: int
    wide: bool = False
    contrasts: bool = False
    least: int = 0

    @property
    def num_rows(self) -> int:
        """Of all devices."""
        return self.devices * self.rows

    @property
    def num_positions(self) -> int:
        """Of all devices, without the rows of contrasts."""
        return self.num_rows * self.row_length

    @property
    def num_queries(self) -> int:
        """The most queries of a device, if there is an answer a query."""
        return self.rows * (self.row_length // self.least) if self.least else 0

    def cut(self, row_length: int) -> "BatchShape":
        """Returns the shape of as many positions in shorter rows, whose length divides these."""
        return self._replace(rows=self.rows * self.row_length // row_length, row_length=row_length)


class ContrastRows(NamedTuple):
    """The rows that `DeviceRows` are compared with, in the same layout: n devices, B rows, L positions.

    Attributes:
      tokens, segments, positions: ids, segment numbers and positions, with the shapes and meanings of the
        fields of `DeviceRows`.
      places: `Int32[n B*L]`. For each asked place of the rows, the index of the position that it is compared
        with, among the `B * L` positions of the device's contrasts.
      targets: `Int32[n B*L]`. The id that the contrast is asked about at each of these positions.
    """

    tokens: AnyArray
    segments: AnyArray
    positions: AnyArray
    places: AnyArray
    targets: AnyArray


class DeviceRows(NamedTuple):
    """The packed rows that devices read: B rows of L positions on each of n devices.

    On the host every array has the leading axis of devices; the function that runs on one device sees the
    arrays without this axis. A place is a position at which the model is asked about a target id; a query is
    one sequence, a segment of its row or, if it shares a context with others, a branch of a segment.

    Attributes:
      tokens: `Int32[n B L]`. The ids.
      segments: `Int32[n B L]`. Number of the segment, from 1; 0 is padding. Tokens attend only within their
        segment.
      branches: `Int32[n B L]`. 0 for tokens that every later token of the segment may read (a shared
        context); from 1 for tokens that only tokens of the same branch may read.
      positions: `Int32[n B L]`, or `Int32[n B L 2]` for a model with instruction positions. The position of
        each token as the model is told it.
      places: `Int32[n B*L]`. Indices into a device's `B * L` positions; only the first `count` entries are
        asked.
      targets: `Int32[n B*L]`. The id that the model is asked about at each place.
      count: `Int32[n]`. How many places each device is asked at.
      queries: `Int32[n B*L]`. The index of the query that each place belongs to; None if the forward answers
        each place rather than each query.
      query_counts: `Int32[n Q]`. The number of places of each query; 0 for an entry that is no query; None if
        the forward answers each place rather than each query.
      contrast: the rows that these rows are compared with; None if nothing is compared.
    """

    tokens: AnyArray
    segments: AnyArray
    branches: AnyArray
    positions: AnyArray
    places: AnyArray
    targets: AnyArray
    count: AnyArray
    queries: AnyArray | None = None
    query_counts: AnyArray | None = None
    contrast: ContrastRows | None = None


class QuerySlots(NamedTuple):
    """Where the answers to a batch's queries are, as columns with an entry a query.

    Attributes:
      numbers: `Int64[q]` of the queries, counted from the first of all.
      devices: `Int64[q]` the device that answers.
      starts, counts: `Int64[q]` of answers a place: which of the device's answers are the query's.
      questions: `Int64[q]` of answers a query: which of the device's answers is the query's.
    """

    numbers: np.ndarray
    devices: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    questions: np.ndarray


class PackedBatch(NamedTuple):
    """A batch, and which of its answers belong to which query.

    Attributes:
      rows: what the devices read.
      slots: where the answers to its queries are.
      num_tokens: real tokens in it.
      blocks: those whose first queries were packed since the batch before.
    """

    rows: DeviceRows
    slots: QuerySlots
    num_tokens: int
    blocks: tuple[QueryBlock, ...] = ()


def lay_out_rows(rows: list[list[PrefixTree]], shape: BatchShape, columns: WaitingColumns) -> PackedBatch:
    """Returns a batch of rows, each of which holds trees one behind the other.

    Args:
      rows: no more than the shape has; trees of no larger size in all than a row.
      shape: of the batch.
      columns: where the trees' tokens and places are.
    """
    layout = _Layout(shape)
    for row, trees in enumerate(rows):
        column = 0
        for segment, tree in enumerate(trees, 1):
            layout.put(tree, row, column, segment)
            column += tree.width
    return layout.packed(columns)


class _Layout:
    """Where trees lie in a batch: lists of what is copied there, which becomes arrays all at once."""

    def __init__(self, shape: BatchShape) -> None:
        self._shape = shape
        # Of each run of tokens: its first number, length, first position of the batch, segment, branch, and
        # the offset of its first token in its query.
        self._runs: list[tuple[int, int, int, int, int, int]] = []
        # Of each question: its first number, places, device, first position on the device, trunk and shift.
        self._questions: list[tuple[int, int, int, int, int, int]] = []
        self._slots: list[tuple[int, int, int, int, int]] = []
        self._count, self._num_questions = [0] * shape.devices, [0] * shape.devices
        self._contrasts: list[tuple[PrefixTree, int, int, int, slice]] = []

    def put(self, tree: PrefixTree, row: int, column: int, segment: int) -> None:
        """Lays a tree into a row, from a column on."""
        shape = self._shape
        device, own_row = divmod(row, shape.rows)
        first = own_row * shape.row_length + column
        at = row * shape.row_length + column
        for branch, (number, length) in enumerate(tree.spans):
            self._runs.append((number, length, at, segment, branch, tree.trunk if branch else 0))
            at += length
        start, question = self._count[device], self._num_questions[device]
        starts = []
        for number, count, shift in tree.questions:
            starts.append((start, count))
            self._questions.append((number, count, device, first, tree.trunk, shift))
            start += count
        self._slots += [(number, device, *starts[own], question + own) for number, own in tree.slots]
        if tree.contrast is not None:
            self._contrasts.append((tree, row, column, segment, slice(self._count[device], start)))
        self._count[device], self._num_questions[device] = start, question + len(tree.questions)

    def packed(self, columns: WaitingColumns) -> PackedBatch:
        """Returns the batch as devices read it."""
        shape = self._shape
        tokens, segments, branches, positions = self._read(columns)
        places, targets, queries, query_counts = self._asked(columns)
        contrast = self._contrast() if shape.contrasts else None
        rows = DeviceRows(
            tokens,
            segments,
            branches,
            positions,
            places,
            targets,
            np.array(self._count, np.int32),
            queries if shape.least else None,
            query_counts if shape.least else None,
            contrast,
        )
        num_tokens = sum(run[1] for run in self._runs)
        num_tokens += sum(len(tree.contrast.tokens) for tree, *_ in self._contrasts if tree.contrast)
        numbers, devices, starts, counts, questions = np.array(self._slots, np.int64).reshape(-1, 5).T
        return PackedBatch(rows, QuerySlots(numbers, devices, starts, counts, questions), num_tokens)

    def _read(self, columns: WaitingColumns) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Tokens, segments, branches and positions."""
        shape = self._shape
        size, of_devices = shape.num_positions, (shape.devices, shape.rows, shape.row_length)
        tokens, segments, branches = np.zeros((3, size), np.int32)
        positions = np.zeros((size, 2) if shape.wide else size, np.int32)
        numbers, lengths, starts, segment, branch, offsets = np.array(self._runs, np.int64).reshape(-1, 6).T
        sources = run_indices(numbers - columns.first_token, lengths)
        at = run_indices(starts, lengths)
        tokens[at] = columns.tokens[sources]
        segments[at] = np.repeat(segment, lengths)
        branches[at] = np.repeat(branch, lengths)
        if columns.positions is None:
            positions[at] = run_indices(offsets, lengths)
        else:
            positions[at] = columns.positions[sources]
        return (
            tokens.reshape(of_devices),
            segments.reshape(of_devices),
            branches.reshape(of_devices),
            positions.reshape(*of_devices, *positions.shape[1:]),
        )

    def _asked(self, columns: WaitingColumns) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Places, targets, the query of each place, and how many places each query asks."""
        shape = self._shape
        flat = shape.rows * shape.row_length
        places, targets, queries = np.zeros((3, shape.devices * flat), np.int32)
        query_counts = np.zeros((shape.devices, shape.num_queries), np.int32)
        table = np.array(self._questions, np.int64).reshape(-1, 6).T
        numbers, counts, devices, firsts, trunks, shifts = table
        sources = run_indices(numbers - columns.first_place, counts)
        # The questions of a device come one behind the other.
        device_counts = np.array(self._count)
        at = run_indices(np.arange(shape.devices) * flat, device_counts)
        own = columns.places[sources]
        own = own + np.where(own >= np.repeat(trunks, counts), np.repeat(shifts, counts), 0)
        places[at] = own + np.repeat(firsts, counts)
        targets[at] = columns.targets[sources]
        if shape.least:
            own_numbers = run_indices(np.zeros(shape.devices, np.int64), np.array(self._num_questions))
            queries[at] = np.repeat(own_numbers, counts)
            query_counts[devices, own_numbers] = counts
        by_device = (shape.devices, flat)
        return places.reshape(by_device), targets.reshape(by_device), queries.reshape(by_device), query_counts

    def _contrast(self) -> ContrastRows:
        """What the rows are compared with, laid out as they are."""
        shape = self._shape
        size = (shape.num_rows, shape.row_length)
        tokens, segments, positions = np.zeros((3, *size), np.int32)
        places, targets = np.zeros((2, shape.devices, shape.rows * shape.row_length), np.int32)
        for tree, row, column, segment, asked in self._contrasts:
            contrast = tree.contrast
            if contrast is None:
                continue
            device, own_row = divmod(row, shape.rows)
            at = slice(column, column + len(contrast.tokens))
            tokens[row, at], segments[row, at] = contrast.tokens, segment
            positions[row, at] = np.arange(len(contrast.tokens))
            first = own_row * shape.row_length + column
            places[device, asked] = np.tile(contrast.places, len(tree.questions)) + first
            targets[device, asked] = np.tile(contrast.targets, len(tree.questions))
        of_devices = (shape.devices, shape.rows, shape.row_length)
        return ContrastRows(
            tokens.reshape(of_devices),
            segments.reshape(of_devices),
            positions.reshape(of_devices),
            places,
            targets,
        )
