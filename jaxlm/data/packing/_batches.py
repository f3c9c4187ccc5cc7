"""Batches of packed rows; batch n depends on (seed, n) alone, so a run resumes with its step number."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm.data.cache import TokenCache
from jaxlm.data.packing._packing import PackingPlan
from jaxlm.errors import CorpusError, UsageError


class Batch(NamedTuple):
    """B packed rows of L tokens on the host; every array is int32.

    A row holds several pieces one after the other; a piece is a record, or a part of a long record.

    Attributes:
      tokens: the token ids, padded at the right, `Int32[B L]`.
      segments: for each token, the number of its piece in the row, counted from 1; 0 at padding.
        `Int32[B L]`.
      positions: for each token, its index in the piece, counted from 0; 0 at padding. `Int32[B L]`.
      example_ids: for each token, the index of its record in the cache; 0 at padding. `Int32[B L]`.
      offsets: for each token, its index in the record (the start of the piece + `positions`); 0 at padding.
        `Int32[B L]`.
      epochs: the epoch from which each row comes, counted from 0, `Int32[B]`.
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    example_ids: np.ndarray
    offsets: np.ndarray
    epochs: np.ndarray


class PackedPiece(NamedTuple):
    """A piece of a packed row: a whole record, or a part of a record that is longer than a row.

    Attributes:
      example: the index of the record in the cache.
      start: the index in the record of the piece's first token; 0 for a whole record.
      tokens: the token ids of the piece, `Int32[length]`.
    """

    example: int
    start: int
    tokens: np.ndarray


class Batches:
    """An endless sequence of training batches; `batches[n]` depends on cache, plan, seed and n alone.

    Rows are permuted anew in each epoch. With `batch_size` B, batch n takes the rows n * B to (n + 1) * B - 1
    of the endless order. Every row therefore occurs once in each epoch, even if B does not divide the number
    of rows; a batch may hold the end of one epoch and the beginning of the next.

    Args:
      cache: the tokens of the records.
      plan: which pieces of the records each row holds: `plan_packing(cache.lengths, ...)`.
      batch_size: the number of rows in a batch.
      seed: any integer. Together with the epoch it determines the permutation of the rows.
      transform: a grain `MapTransform`, or a function of a batch, that the thread which builds a batch
        applies to it. None: batches are not transformed.

    Raises:
      CorpusError: the plan has no rows.
      UsageError: `batch_size` is not positive.
      ValueError: the plan belongs to another cache.
    """

    def __init__(
        self,
        cache: TokenCache,
        plan: PackingPlan,
        *,
        batch_size: int,
        seed: int,
        transform: Any = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"expected batch_size >= 1, got {batch_size}")
        if not plan.num_rows:
            raise CorpusError("the plan has no rows: the cache holds no tokens to train on")
        if plan.example.max() >= len(cache):
            raise ValueError(
                f"the plan is of another cache: it names example {plan.example.max()} of {len(cache)}"
            )
        self.batch_size = batch_size
        self.num_rows = plan.num_rows
        self.dataset = _dataset(cache, plan, batch_size, seed)
        if transform is not None:
            self.dataset = self.dataset.map(transform)

    def __getitem__(self, step: int) -> Any:
        """Returns batch number `step`: a `Batch`, or the result of the transform."""
        if step < 0:
            raise IndexError(f"batches count from 0, got {step}")
        return self.dataset[step]

    def iterate(
        self, start: int = 0, *, num_threads: int = 1, prefetch: int = 8
    ) -> Generator[Any, None, None]:
        """Yields batches `start`, `start + 1`, ... without end, built in advance by background threads.

        Batches before `start` are not built.

        Args:
          start: the index of the first batch, from 0.
          num_threads: the number of threads that build batches.
          prefetch: how many batches are built in advance.

        Yields:
          The same as `batches[start]`, `batches[start + 1]`, ...
        """
        import grain

        options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)
        iterator = iter(self.dataset.slice(slice(start, None)).to_iter_dataset(options))
        try:
            yield from iterator
        finally:
            iterator.close()

    def epoch(self, step: int) -> float:
        """Returns how many epochs of rows the batches before `step` hold.

        Args:
          step: the index of a batch, from 0.

        Returns:
          The number of epochs, such as 1.5 after one and a half passes over the rows.
        """
        return step * self.batch_size / self.num_rows


def eval_batches(cache: TokenCache, plan: PackingPlan, batch_size: int) -> Iterator[Batch]:
    """Yields every row once, in the plan's order; rows of padding fill the last batch. All epochs are 0.

    Args:
      cache: the tokens of the records.
      plan: which pieces of the records each row holds, see `plan_packing`.
      batch_size: the number of rows in a batch.

    Yields:
      ceil(rows / batch_size) batches, all of the shape `[batch_size, row_length]`.

    Raises:
      UsageError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise UsageError(f"expected batch_size >= 1, got {batch_size}")
    for first in range(0, plan.num_rows, batch_size):
        rows = np.arange(first, min(first + batch_size, plan.num_rows))
        batch = gather_rows(cache, plan, rows, np.zeros(len(rows), np.int32))
        others = {
            name: _filled(array, batch_size, 0) for name, array in batch._asdict().items() if name != "tokens"
        }
        yield Batch(tokens=_filled(batch.tokens, batch_size, cache.pad_id), **others)


def gather_rows(cache: TokenCache, plan: PackingPlan, rows: np.ndarray, epochs: np.ndarray) -> Batch:
    """Returns the given rows of a plan as a batch.

    Args:
      cache: the tokens of the records.
      plan: which pieces of the records each row holds, see `plan_packing`.
      rows: the indices of the rows in the plan, `Int[B]`.
      epochs: the epoch of each row, which is copied into the batch, `Int[B]`.

    Returns:
      The batch, with the rows in the given order.
    """
    first, last = plan.row_starts[rows], plan.row_starts[rows + 1]
    counts = last - first
    rank = _ranges(counts)
    pieces = np.repeat(first, counts) + rank
    lengths = plan.length[pieces]
    # From here on, one entry for each token: its piece (an index into `pieces`) and its offset in the piece.
    piece = np.repeat(np.arange(len(pieces)), lengths)
    position = _ranges(lengths)
    offset = plan.start[pieces][piece] + position
    start = np.repeat(np.arange(len(rows)), counts) * plan.row_length + plan.column[pieces]
    target = start[piece] + position
    source = cache.offsets[plan.example[pieces]][piece] + offset
    shape = (len(rows), plan.row_length)
    return Batch(
        tokens=_scattered(shape, target, cache.tokens[source], cache.pad_id),
        segments=_scattered(shape, target, (rank + 1)[piece]),
        positions=_scattered(shape, target, position),
        example_ids=_scattered(shape, target, plan.example[pieces][piece]),
        offsets=_scattered(shape, target, offset),
        epochs=np.asarray(epochs, np.int32),
    )


def unpack(batch: Batch) -> list[list[PackedPiece]]:
    """Returns the pieces (records, or parts of records) in each row of a batch; undoes the packing.

    Args:
      batch: packed rows.

    Returns:
      For each row, the list of its pieces from left to right, which is empty for an empty row.

    Example:
      >>> import numpy as np
      >>> from jaxlm.data import Batch, unpack
      >>> tokens, segments = np.array([[7, 8, 9, 0]]), np.array([[1, 1, 2, 0]])
      >>> positions, example_ids = np.array([[0, 1, 0, 0]]), np.array([[4, 4, 5, 0]])
      >>> batch = Batch(tokens, segments, positions, example_ids, positions, np.array([0]))
      >>> [(piece.example, piece.tokens.tolist()) for piece in unpack(batch)[0]]
      [(4, [7, 8]), (5, [9])]
    """
    return [
        [
            PackedPiece(int(examples[at][0]), int(offsets[at][0]), tokens[at])
            for at in (segments == segment for segment in range(1, segments.max(initial=0) + 1))
        ]
        for tokens, segments, examples, offsets in zip(
            batch.tokens, batch.segments, batch.example_ids, batch.offsets, strict=True
        )
    ]


def _dataset(cache: TokenCache, plan: PackingPlan, batch_size: int, seed: int) -> Any:
    import grain

    num_rows = plan.num_rows

    def gather(rows_and_epochs: Sequence[tuple[int, int]]) -> Batch:
        rows, epochs = np.asarray(rows_and_epochs).T
        return gather_rows(cache, plan, rows, epochs)

    # Grain permutes epoch e with seed + e. Without hashing, neighbouring seeds would share their epochs.
    hashed_seed = int(np.random.SeedSequence(seed % 2**128).generate_state(1)[0])
    rows = grain.MapDataset.range(num_rows).shuffle(hashed_seed).repeat()
    numbered = rows.map_with_index(lambda index, row: (row, index // num_rows))
    return numbered.batch(batch_size, batch_fn=gather)


def _ranges(counts: np.ndarray) -> np.ndarray:
    """The numbers 0 to c - 1 for each count c, one range after the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)


def _scattered(shape: tuple[int, int], target: np.ndarray, values: np.ndarray, fill: int = 0) -> np.ndarray:
    flat = np.full(shape[0] * shape[1], fill, np.int32)
    flat[target] = values
    return flat.reshape(shape)


def _filled(array: np.ndarray, batch_size: int, fill: int) -> np.ndarray:
    missing = [(0, batch_size - len(array)), *[(0, 0)] * (array.ndim - 1)]
    return np.pad(array, missing, constant_values=fill)
