"""A batch: readings laid out as the rows that devices read, and what each of their answers is of.

Letters: `E` devices, `B L` rows of a device, `Q` queries of a device.
"""

from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine._prefix_trees import PrefixTree, QuerySlot


class BatchShape(NamedTuple):
    """The shape of a batch.

    Attributes:
      devices: E, each of which reads `rows` rows.
      rows: B, of a device.
      row_length: L; also as many questions for each row.
      wide: whether positions are pairs.
      contrasts: whether each row has another beside it, of what its pieces are compared with.
      least: positions that a query takes at least, where there is an answer a query; 0: one a place.
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
        """The most queries of a device, where there is an answer a query."""
        return self.rows * (self.row_length // self.least) if self.least else 0

    def cut(self, row_length: int) -> "BatchShape":
        """Returns the shape of as many positions in shorter rows, whose length divides these."""
        return self._replace(rows=self.rows * self.row_length // row_length, row_length=row_length)


class ContrastRows(NamedTuple):
    """What rows are compared with, laid out as they are.

    Attributes:
      tokens, segments, positions: as those of `DeviceRows`.
      places: `Int32[E B*L]` flat in a device's contrasts' `B * L`, for each asked place the one that it is
        compared with.
      targets: `Int32[E B*L]`.
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    places: np.ndarray
    targets: np.ndarray


class DeviceRows(NamedTuple):
    """What devices read: host arrays with a leading axis of devices, which a device's own view is without.

    Attributes:
      tokens, segments, branches: `Int32[E B L]`, segments from 1, 0 = padding; branches as in `PrefixTree`.
      positions: `Int32[E B L]` or `Int32[E B L 2]`.
      places: `Int32[E B*L]` flat in a device's `B * L`, the first `count` of them questions.
      targets: `Int32[E B*L]`.
      count: `Int32[E]`.
      queries: `Int32[E B*L]` the query that each asked place is of; None where there is an answer a place.
      query_counts: `Int32[E Q]` how many places each query asks, 0 = there is none; None as `queries`.
      contrast: what the rows are compared with; None where nothing is compared.
    """

    tokens: np.ndarray
    segments: np.ndarray
    branches: np.ndarray
    positions: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    count: np.ndarray
    queries: np.ndarray | None = None
    query_counts: np.ndarray | None = None
    contrast: ContrastRows | None = None


class PackedBatch(NamedTuple):
    """A batch and whose answers it will bring: for each ask its device, of which `start` and `query` are.

    Attributes:
      rows: what is read.
      asks: (device, ask).
      num_tokens: real tokens in it.
    """

    rows: DeviceRows
    asks: list[tuple[int, QuerySlot]]
    num_tokens: int


def lay_out_rows(rows: list[list[PrefixTree]], shape: BatchShape) -> PackedBatch:
    """Returns a batch of rows, each of which holds readings one behind the other.

    Args:
      rows: no more than the shape has; readings of no larger size in all than a row.
      shape: of the batch.
    """
    batch = _Batch(shape)
    for row, readings in enumerate(rows):
        column = 0
        for segment, reading in enumerate(readings, 1):
            batch.put(reading, row, column, segment)
            column += reading.width
    return batch.packed()


class _Batch:
    """A batch while readings are laid into it."""

    def __init__(self, shape: BatchShape) -> None:
        self._shape = shape
        self._own, self._other = _laid_out(shape), _laid_out(shape) if shape.contrasts else None
        flat = shape.rows * shape.row_length
        self._asked = np.zeros((2, shape.devices, flat), np.int32)
        self._compared = np.zeros((2, shape.devices, flat), np.int32)
        self._queries = np.zeros((shape.devices, flat), np.int32)
        self._query_counts = np.zeros((shape.devices, shape.num_queries), np.int32)
        self._branches = np.zeros((shape.num_rows, shape.row_length), np.int32)
        self._count, self._num_queries = np.zeros((2, shape.devices), np.int32)
        self._asks: list[tuple[int, QuerySlot]] = []
        self._num_tokens = 0

    def put(self, reading: PrefixTree, row: int, column: int, segment: int) -> None:
        """Lays a reading into a row, from a column on."""
        end, (device, own_row) = column + reading.length, divmod(row, self._shape.rows)
        _write(self._own, (row, column), reading.tokens(), segment, reading.positions())
        self._branches[row, column:end] = reading.branches()
        first = own_row * self._shape.row_length + column
        start, query = int(self._count[device]), int(self._num_queries[device])
        asked = slice(start, start + reading.num_asked)
        places, targets = reading.questions()
        self._asked[0, device, asked], self._asked[1, device, asked] = places + first, targets
        if self._shape.least:
            counts = reading.counts()
            numbers = np.arange(query, query + len(counts), dtype=np.int32)
            self._queries[device, asked] = np.repeat(numbers, counts)
            self._query_counts[device, numbers] = counts
        if reading.contrast is not None:
            other = reading.contrast
            _write(self._other, (row, column), other.tokens, segment, np.arange(len(other.tokens)))
            self._compared[0, device, asked] = np.tile(other.places, reading.num_queries) + first
            self._compared[1, device, asked] = np.tile(other.targets, reading.num_queries)
            self._num_tokens += len(other.tokens)
        shifted = (one._replace(start=one.start + start, query=one.query + query) for one in reading.asks)
        self._asks += [(device, ask) for ask in shifted]
        self._num_tokens += reading.length
        self._count[device], self._num_queries[device] = asked.stop, query + reading.num_queries

    def packed(self) -> PackedBatch:
        """The batch as devices read it."""
        shape, has_queries = self._shape, bool(self._shape.least)
        of_devices = (shape.devices, shape.rows, shape.row_length)

        def shaped(array: np.ndarray) -> np.ndarray:
            return array.reshape(*of_devices, *array.shape[2:])

        contrast = None if self._other is None else ContrastRows(*map(shaped, self._other), *self._compared)
        tokens, segments, positions = map(shaped, self._own)
        rows = DeviceRows(
            tokens,
            segments,
            shaped(self._branches),
            positions,
            *self._asked,
            self._count,
            self._queries if has_queries else None,
            self._query_counts if has_queries else None,
            contrast,
        )
        return PackedBatch(rows, self._asks, self._num_tokens)


def _laid_out(shape: BatchShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, segments and positions of rows that hold nothing."""
    size = (shape.num_rows, shape.row_length)
    tokens, segments = np.zeros((2, *size), np.int32)
    return tokens, segments, np.zeros((*size, 2) if shape.wide else size, np.int32)


def _write(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    where: tuple[int, int],
    tokens: np.ndarray,
    segment: int,
    positions: np.ndarray,
) -> None:
    row, column = where
    columns = slice(column, column + len(tokens))
    for array, values in zip(rows, (tokens, segment, positions), strict=True):
        array[row, columns] = values
