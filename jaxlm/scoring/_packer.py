"""Readings placed into batches of few static shapes: best fit from a bounded buffer, fullest rows first."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import data
from jaxlm.scoring._pieces import Piece
from jaxlm.scoring._readings import Ask, Reading, Readings

# A plan passes a reading over this often at most, while fuller rows go first.
PATIENCE = 3
# Rows' worth of tokens, and multiples of the buffer in pieces, at which a plan is made whatever else.
MANY_ROWS, MANY_BUFFERS = 4096, 16
# Batches that are worth the compilation of another shape.
BATCHES_WORTH_COMPILING = 16


class BatchShape(NamedTuple):
    """The shape of a batch.

    Attributes:
      devices: E, each of which reads `rows` rows.
      rows: B, of a device.
      row_length: L; also as many questions for each row.
      wide: whether positions are pairs.
    """

    devices: int
    rows: int
    row_length: int
    wide: bool = False

    @property
    def num_rows(self) -> int:
        """Of all devices."""
        return self.devices * self.rows

    @property
    def num_positions(self) -> int:
        """Of all devices."""
        return self.num_rows * self.row_length

    def cut(self, row_length: int) -> "BatchShape":
        """Returns the shape of as many positions in shorter rows, whose length divides these."""
        return self._replace(rows=self.rows * self.row_length // row_length, row_length=row_length)


class DeviceRows(NamedTuple):
    """What devices read: host arrays with a leading axis of devices.

    Attributes:
      tokens, segments, branches: `Int32[E B L]`, segments from 1, 0 = padding; branches as in `Reading`.
      positions: `Int32[E B L]` or `Int32[E B L 2]`.
      places: `Int32[E B*L]` flat in a device's `B * L`, the first `count` of them questions.
      targets: `Int32[E B*L]`.
      count: `Int32[E]`.
    """

    tokens: np.ndarray
    segments: np.ndarray
    branches: np.ndarray
    positions: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    count: np.ndarray


class Packed(NamedTuple):
    """A batch and whose answers it will bring: for each ask the device it is of; `start` is that device's.

    Attributes:
      rows: what is read.
      asks: (device, ask).
      num_tokens: real tokens in it.
    """

    rows: DeviceRows
    asks: list[tuple[int, Ask]]
    num_tokens: int


def pack(
    pieces: Iterable[tuple[Piece, np.ndarray]],
    shape: BatchShape,
    *,
    buffer: int,
    shared: bool,
    shorter: Sequence[int] = (),
    beside: int = 0,
) -> Iterator[Packed]:
    """Yields batches that ask every piece once, in an order that depends on the pieces alone.

    Pieces wait in a buffer. When it is full, all of it is planned by best fit; about the half of the rows
    that is fullest is read now, what is in the others waits for better company, but not for ever.

    A position of a row costs `beside` and the row's length, all of which attention looks at. So short pieces
    go into shorter rows where that costs less, padding counted, and where there are enough of them.

    Args:
      pieces: each with its positions; none larger than a row.
      shape: of batches with the longest rows.
      buffer: pieces that are looked at together.
      shared: whether pieces with a common context are read as a tree.
      shorter: lengths that rows may have besides; they divide the longest.
      beside: what a position costs beside attention, in keys that it looks at.
    """
    waiting = Readings(shape.row_length, shared)
    shapes, taken = [shape, *map(shape.cut, shorter)], set()

    def planned(*, last: bool) -> Iterator[Packed]:
        sizes = np.array([max(reading.size, 1) for reading in waiting.all])
        plan, chosen = _cheapest(sizes, shapes, taken, beside)
        taken.add(chosen)
        return _planned(waiting, sizes, plan, chosen, last=last)

    for number, (piece, positions) in enumerate(pieces):
        waiting.add(number, piece, positions)
        if _is_full(waiting, shape, buffer):
            yield from planned(last=waiting.size < shape.num_positions)
    while waiting.all:
        yield from planned(last=True)


def _is_full(waiting: Readings, shape: BatchShape, buffer: int) -> bool:
    if waiting.num_pieces >= MANY_BUFFERS * buffer:
        return True
    if waiting.size < 2 * shape.num_positions:
        return False
    return waiting.num_pieces >= buffer or waiting.size >= MANY_ROWS * shape.row_length


def _cheapest(
    sizes: np.ndarray, shapes: Sequence[BatchShape], taken: set[BatchShape], beside: int
) -> tuple[data.PackingPlan, BatchShape]:
    """How readings are packed at least cost, into shapes that are compiled or worth it."""
    fitting = [shape for shape in shapes if shape.row_length >= sizes.max()]
    is_much = sizes.sum() >= BATCHES_WORTH_COMPILING * shapes[0].num_positions
    worth = fitting if is_much else [shape for shape in fitting if shape in taken] or fitting[:1]
    plans = [(data.plan_packing(sizes, shape.row_length), shape) for shape in worth]

    def cost(one: tuple[data.PackingPlan, BatchShape]) -> int:
        plan, shape = one
        return -(-plan.num_rows // shape.num_rows) * (beside + shape.row_length)

    return min(plans, key=cost)


def _planned(
    waiting: Readings, sizes: np.ndarray, plan: data.PackingPlan, shape: BatchShape, *, last: bool
) -> Iterator[Packed]:
    rows = np.split(plan.example, plan.row_starts[1:-1])
    filled = [int(sizes[row].sum()) for row in rows]
    old = [any(waiting.all[place].age >= PATIENCE for place in row) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: (not old[row], -filled[row]))
    each = shape.num_rows
    num = len(rows) if last else max(len(rows) // (2 * each), 1) * each
    chosen = [rows[row] for row in order[:num]]
    for first in range(0, len(chosen), each):
        batch = chosen[first : first + each]
        yield _batch([[waiting.all[place] for place in row] for row in batch], shape)
    waiting.take({int(place) for row in chosen for place in row})


def _batch(rows: list[list[Reading]], shape: BatchShape) -> Packed:
    ints = np.zeros((4, shape.num_rows, shape.row_length), np.int32)
    tokens, segments, branches, _ = ints
    positions = np.zeros((*tokens.shape, 2), np.int32) if shape.wide else ints[3]
    flat = shape.rows * shape.row_length
    places, targets = np.zeros((2, shape.devices, flat), np.int32)
    count = np.zeros(shape.devices, np.int32)
    asks, num_tokens = [], 0
    for row, readings in enumerate(rows):
        device, column = row // shape.rows, 0
        for segment, reading in enumerate(readings, 1):
            end = column + reading.length
            tokens[row, column:end] = reading.tokens()
            segments[row, column:end] = segment
            branches[row, column:end] = reading.branches()
            positions[row, column:end] = reading.positions()
            start, stop = int(count[device]), int(count[device]) + reading.num_asked
            where, wanted = reading.questions()
            places[device, start:stop] = where + (row % shape.rows) * shape.row_length + column
            targets[device, start:stop] = wanted
            asks += [(device, ask._replace(start=ask.start + start)) for ask in reading.asks]
            count[device], column = stop, end
        num_tokens += column
    of_devices = (shape.devices, shape.rows, shape.row_length)
    shaped = (array.reshape(*of_devices) for array in (tokens, segments, branches))
    wide = positions.reshape(*of_devices, *positions.shape[2:])
    return Packed(DeviceRows(*shaped, wide, places, targets, count), asks, num_tokens)
