"""The answers of batches brought back to the blocks of queries that they belong to, in the blocks' order."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm.scoring.engine._device_rows import PackedBatch
from jaxlm.scoring.engine._forward_contract import AnswerUnit
from jaxlm.scoring.engine._queries import QueryBlock, run_indices


class BlockAnswers(NamedTuple):
    """What the devices computed for a block of queries.

    Attributes:
      block: the queries.
      starts: `Int64[q + 1]` where the rows of each query begin in `leaves`, and last where they end.
      leaves: the arrays of the forward's answer, over all queries of the block.
      tree: how the arrays make an answer.
      each: what an answer has a row for, as in `Forward.each`.
    """

    block: QueryBlock
    starts: np.ndarray
    leaves: list[np.ndarray]
    tree: Any
    each: AnswerUnit

    def of_query(self, index: int) -> Any:
        """Returns the answer to one query, as arrays of the host."""
        if self.each == "query":
            return self.tree.unflatten([leaf[index] for leaf in self.leaves])
        own = slice(self.starts[index], self.starts[index + 1])
        return self.tree.unflatten([leaf[own] for leaf in self.leaves])

    def of_queries(self, first: int, stop: int) -> Any:
        """Returns the answers to the queries from `first` up to `stop`, not including it, as one."""
        own = slice(self.starts[first], self.starts[stop])
        return self.tree.unflatten([leaf[own] for leaf in self.leaves])


class AnswerCollector:
    """The blocks whose queries are not all answered yet.

    Args:
      each: what an answer has a row for, as in `Forward.each`.
    """

    def __init__(self, each: AnswerUnit) -> None:
        self._each: AnswerUnit = each
        self._open: deque[_OpenBlock] = deque()
        self._num_queries = 0

    def add(self, batch: PackedBatch, answers: Any) -> Iterator[BlockAnswers]:
        """Takes what was computed for a batch, and yields the blocks that are complete, in order."""
        for block in batch.blocks:
            self._open.append(_OpenBlock(block, self._num_queries, self._each))
            self._num_queries += block.num_queries
        leaves, tree = jax.tree.flatten(answers)
        if self._each == "place":
            leaves = [leaf.reshape(-1, *leaf.shape[2:]) for leaf in leaves]
        firsts = np.array([block.first for block in self._open])
        owners = np.searchsorted(firsts, batch.slots.numbers, side="right") - 1
        flat = batch.rows.places.shape[1]
        for owner in np.unique(owners).tolist():
            numbers, devices, starts, counts, questions = (column[owners == owner] for column in batch.slots)
            block = self._open[owner]
            if self._each == "query":
                block.put(numbers, [leaf[devices, questions] for leaf in leaves], tree)
            else:
                own = run_indices(devices * flat + starts, counts)
                block.put(numbers, [leaf[own] for leaf in leaves], tree)
        while self._open and not self._open[0].num_missing:
            yield self._open.popleft().answers()


class _OpenBlock:
    """A block and the answers to its queries, as they come."""

    def __init__(self, block: QueryBlock, first: int, each: AnswerUnit) -> None:
        self.first, self.num_missing = first, block.num_queries
        self._block = block
        self._each: AnswerUnit = each
        self._starts = block.place_starts if each == "place" else np.arange(block.num_queries + 1)
        self._leaves: list[np.ndarray] = []
        self._tree: Any = None

    def put(self, numbers: np.ndarray, leaves: list[np.ndarray], tree: Any) -> None:
        """Takes the answers to some queries, whose rows come one behind the other in `leaves`."""
        if self._tree is None:
            size = int(self._starts[-1])
            self._leaves = [np.empty((size, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
            self._tree = tree
        own = numbers - self.first
        at = run_indices(self._starts[own], self._starts[own + 1] - self._starts[own])
        for leaf, values in zip(self._leaves, leaves, strict=True):
            leaf[at] = values
        self.num_missing -= len(numbers)

    def answers(self) -> BlockAnswers:
        """Returns the answers; there is one to every query."""
        return BlockAnswers(self._block, self._starts, self._leaves, self._tree, self._each)
