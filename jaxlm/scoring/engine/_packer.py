"""Prefix trees packed into batches of few shapes: best fit from a bounded buffer, fullest rows first."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jaxlm import data
from jaxlm.scoring.engine._device_rows import BatchShape, PackedBatch
from jaxlm.scoring.engine._prefix_trees import PrefixTreeBuffer
from jaxlm.scoring.engine._queries import QueryBlock
from jaxlm.scoring.engine._row_layout import lay_out_rows

# How many plans may pass a tree over while fuller rows go first.
PATIENCE = 3
# A plan is made at the latest when this many rows' worth of tokens wait, or this many buffers of queries.
MANY_ROWS, MANY_BUFFERS = 4096, 16
# Batches that are worth the compilation of another shape.
BATCHES_WORTH_COMPILING = 16


def pack(
    blocks: Iterable[QueryBlock],
    shape: BatchShape,
    *,
    buffer: int,
    shared: bool,
    shorter: Sequence[int] = (),
    beside: int = 0,
) -> Iterator[PackedBatch]:
    """Yields batches that ask every query once, in an order that depends on the queries alone.

    Queries wait in a buffer. When it is full, all of them are planned by best fit. The fullest half of the
    rows is emitted; the rest waits for queries that fill it better, for at most `PATIENCE` plans.

    A position of a row costs `beside` plus the row's length, because attention reads the whole row. So short
    queries go into shorter rows where that costs less, padding included, and where there are enough of them.

    Args:
      blocks: queries, none of which is larger than a row.
      shape: of batches with the longest rows.
      buffer: queries that are planned together.
      shared: whether queries with a common context are read as a tree.
      shorter: further lengths that rows may have; they divide the longest.
      beside: what a position costs without attention, in keys that attention reads.
    """
    waiting = PrefixTreeBuffer(shape.row_length, shared, shape.least)
    shapes, compiled = [shape, *map(shape.cut, shorter)], set()
    begun: list[QueryBlock] = []

    def planned(*, last: bool) -> Iterator[PackedBatch]:
        sizes = np.array([max(tree.size, 1) for tree in waiting.trees])
        plan, chosen = _cheapest(sizes, shapes, compiled, beside)
        compiled.add(chosen)
        for batch in _planned(waiting, sizes, plan, chosen, last=last):
            yield batch._replace(blocks=tuple(begun))
            begun.clear()

    for block in blocks:
        begun.append(block)
        for _ in waiting.add(block):
            if _is_full(waiting, shape, buffer):
                yield from planned(last=waiting.size < shape.num_positions)
    while waiting.trees:
        yield from planned(last=True)


def _is_full(waiting: PrefixTreeBuffer, shape: BatchShape, buffer: int) -> bool:
    if waiting.num_queries >= MANY_BUFFERS * buffer:
        return True
    if waiting.size < 2 * shape.num_positions:
        return False
    return waiting.num_queries >= buffer or waiting.size >= MANY_ROWS * shape.row_length


def _cheapest(
    sizes: np.ndarray, shapes: Sequence[BatchShape], compiled: set[BatchShape], beside: int
) -> tuple[data.PackingPlan, BatchShape]:
    """The cheapest plan and its shape, of those that are compiled or worth a compilation."""
    fitting = [shape for shape in shapes if shape.row_length >= sizes.max()]
    is_much = sizes.sum() >= BATCHES_WORTH_COMPILING * shapes[0].num_positions
    worth = fitting if is_much else [shape for shape in fitting if shape in compiled] or fitting[:1]
    plans = [(data.plan_packing(sizes, shape.row_length), shape) for shape in worth]

    def cost(choice: tuple[data.PackingPlan, BatchShape]) -> int:
        plan, shape = choice
        return -(-plan.num_rows // shape.num_rows) * (beside + shape.row_length)

    return min(plans, key=cost)


def _planned(
    waiting: PrefixTreeBuffer, sizes: np.ndarray, plan: data.PackingPlan, shape: BatchShape, *, last: bool
) -> Iterator[PackedBatch]:
    trees, columns = waiting.trees, waiting.columns()
    filled = np.add.reduceat(sizes[plan.example], plan.row_starts[:-1])
    is_old = np.maximum.reduceat(waiting.waited()[plan.example], plan.row_starts[:-1]) >= PATIENCE
    # Old rows first, then the fullest; rows that are equal in both keep their order.
    order = np.lexsort((-filled, ~is_old)).tolist()
    each = shape.num_rows
    num = plan.num_rows if last else max(plan.num_rows // (2 * each), 1) * each
    example, starts = plan.example.tolist(), plan.row_starts.tolist()
    chosen = [example[starts[row] : starts[row + 1]] for row in order[:num]]
    for first in range(0, len(chosen), each):
        batch = chosen[first : first + each]
        yield lay_out_rows([[trees[index] for index in row] for row in batch], shape, columns)
    waiting.remove({index for row in chosen for index in row})
