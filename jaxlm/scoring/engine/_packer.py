"""Readings placed into batches of few static shapes: best fit from a bounded buffer, fullest rows first."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jaxlm import data
from jaxlm.scoring.engine._device_rows import BatchShape, PackedBatch, lay_out_rows
from jaxlm.scoring.engine._prefix_trees import PrefixTreeBuffer
from jaxlm.scoring.engine._queries import Query

# A plan passes a reading over this often at most, while fuller rows go first.
PATIENCE = 3
# Rows' worth of tokens, and multiples of the buffer in pieces, at which a plan is made whatever else.
MANY_ROWS, MANY_BUFFERS = 4096, 16
# Batches that are worth the compilation of another shape.
BATCHES_WORTH_COMPILING = 16


def pack(
    pieces: Iterable[tuple[Query, np.ndarray]],
    shape: BatchShape,
    *,
    buffer: int,
    shared: bool,
    shorter: Sequence[int] = (),
    beside: int = 0,
) -> Iterator[PackedBatch]:
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
    waiting = PrefixTreeBuffer(shape.row_length, shared, shape.least)
    shapes, taken = [shape, *map(shape.cut, shorter)], set()

    def planned(*, last: bool) -> Iterator[PackedBatch]:
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


def _is_full(waiting: PrefixTreeBuffer, shape: BatchShape, buffer: int) -> bool:
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
    waiting: PrefixTreeBuffer, sizes: np.ndarray, plan: data.PackingPlan, shape: BatchShape, *, last: bool
) -> Iterator[PackedBatch]:
    rows = np.split(plan.example, plan.row_starts[1:-1])
    filled = [int(sizes[row].sum()) for row in rows]
    old = [any(waiting.all[place].age >= PATIENCE for place in row) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: (not old[row], -filled[row]))
    each = shape.num_rows
    num = len(rows) if last else max(len(rows) // (2 * each), 1) * each
    chosen = [rows[row] for row in order[:num]]
    for first in range(0, len(chosen), each):
        batch = chosen[first : first + each]
        yield lay_out_rows([[waiting.all[place] for place in row] for row in batch], shape)
    waiting.take({int(place) for row in chosen for place in row})
