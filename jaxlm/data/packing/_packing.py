"""Packs records into rows of one length with little padding."""

from collections import deque
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.errors import UsageError

LongRecords = Literal["split", "truncate"]


class PackingPlan(NamedTuple):
    """The row and column of each piece of each example; only the lengths of the examples decide.

    An example is a record of tokens; a piece is a whole example, or a part of an example longer than a row.
    The pieces with the indices `row_starts[r]` to `row_starts[r + 1] - 1` fill row `r` from the left, without
    gaps.

    Attributes:
      example: the index of each piece's example, `Int32[pieces]`.
      start: the index of each piece's first token in its example, `Int32[pieces]`.
      length: the number of tokens of each piece, `Int32[pieces]`.
      column: the index of each piece's first token in its row, `Int32[pieces]`.
      row_starts: the index of each row's first piece, and at last the number of pieces, `Int64[rows + 1]`.
      row_length: the number of positions in every row, padding included.
      num_split: the number of examples longer than a row that were split into several pieces.
      num_truncated: the number of examples longer than a row of which only the beginning is used.
      num_dropped: the number of tokens that truncation left out.
    """

    example: np.ndarray
    start: np.ndarray
    length: np.ndarray
    column: np.ndarray
    row_starts: np.ndarray
    row_length: int
    num_split: int
    num_truncated: int
    num_dropped: int

    @property
    def num_rows(self) -> int:
        """The number of rows in an epoch."""
        return len(self.row_starts) - 1

    @property
    def num_tokens(self) -> int:
        """The number of tokens in an epoch, without padding."""
        return int(self.length.sum(dtype=np.int64))

    @property
    def row(self) -> np.ndarray:
        """The index of each piece's row, `Int64[pieces]`."""
        return np.repeat(np.arange(self.num_rows), np.diff(self.row_starts))

    @property
    def max_segments(self) -> int:
        """The largest number of pieces in a row."""
        return int(np.diff(self.row_starts).max(initial=0))

    @property
    def padding_share(self) -> float:
        """The share of all positions that are padding, from 0 to 1."""
        positions = self.num_rows * self.row_length
        return 1 - self.num_tokens / positions if positions else 0.0

    @property
    def notes(self) -> list[str]:
        """Lines for the log: rows and padding, and the examples that were split or truncated."""
        rows = f"{self.num_rows:,} rows of {self.row_length}, {100 * self.padding_share:.2f} % padding"
        longer = f"longer than {self.row_length} tokens"
        split = [f"{self.num_split:,} records {longer} were split"] if self.num_split else []
        dropped = (
            f"{self.num_truncated:,} records {longer} were truncated ({self.num_dropped:,} tokens not used)"
        )
        return [rows, *split, *([dropped] if self.num_truncated else [])]


def plan_packing(
    lengths: np.ndarray, row_length: int, *, long: LongRecords = "split", overlap: int = 0
) -> PackingPlan:
    """Returns a plan that packs examples of given lengths into rows, by best fit decreasing.

    The longest piece is placed first, and each piece goes into the fullest row that has space for it.

    An example longer than a row is split into pieces of the row's length and a remainder ("split"), or cut to
    its first `row_length` tokens ("truncate"). The cost is O(pieces + distinct lengths x distinct spaces); a
    million examples take about a second.

    Args:
      lengths: the number of tokens of each example, `Int[examples]`; an example of 0 tokens gets no piece.
      row_length: the number of positions in a row.
      long: what happens to examples longer than a row, "split" or "truncate".
      overlap: the number of tokens that each piece of a split example repeats from the piece before it; less
        than `row_length`. With an overlap of 1, a causal model predicts every token of the example exactly
        once, except the first token.

    Returns:
      The plan.

    Raises:
      UsageError: `row_length` is not positive, a length is negative, `long` is unknown, or `overlap` is not
        below `row_length`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.data import plan_packing
      >>> plan = plan_packing(np.array([3, 5, 2]), 5)
      >>> plan.num_rows, plan.example.tolist(), plan.column.tolist(), plan.padding_share
      (2, [1, 0, 2], [0, 0, 3], 0.0)

    References:
      Johnson, Demers, Ullman, Garey, Graham, "Worst-case performance bounds for simple one-dimensional
      packing algorithms", SIAM Journal on Computing 3 (1974): best fit decreasing.
    """
    lengths = np.asarray(lengths)
    if row_length < 1 or long not in ("split", "truncate") or np.any(lengths < 0):
        raise UsageError(
            f"expected row_length >= 1, long 'split' or 'truncate' and no negative length, got {row_length}, "
            f"{long!r} and lengths from {lengths.min(initial=0)}"
        )
    if not 0 <= overlap < row_length:
        raise UsageError(f"overlap: expected 0 to row_length - 1 = {row_length - 1}, got {overlap}")
    is_long = lengths > row_length
    used = lengths if long == "split" else np.minimum(lengths, row_length)
    example, start, length = _pieces(used.astype(np.int64), row_length, overlap)
    order = np.argsort(-length, kind="stable")
    row = np.empty_like(order)
    row[order] = _best_fit(length[order], row_length)
    return _arranged(example, start, length, row, row_length)._replace(
        num_split=int(is_long.sum()) if long == "split" else 0,
        num_truncated=int(is_long.sum()) if long == "truncate" else 0,
        num_dropped=int((lengths - used).sum()),
    )


def _pieces(lengths: np.ndarray, row_length: int, overlap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stride = row_length - overlap
    counts = np.maximum(-(-(lengths - overlap) // stride), lengths > 0)
    example = np.repeat(np.arange(len(lengths)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    start = (np.arange(len(example)) - first) * stride
    return example, start, np.minimum(lengths[example] - start, row_length)


def _best_fit(lengths: np.ndarray, row_length: int) -> np.ndarray:
    """The row of each piece; the pieces are sorted by decreasing length.

    Pieces of one length are placed together: each of the rows with the tightest space takes as many as fit.
    That equals placing them one by one, because a row that was just used is the tightest while another fits.
    """
    placed: list[int] = []
    open_rows = _OpenRows(row_length)
    values, counts = np.unique(lengths, return_counts=True)
    for length, count in zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True):
        while count:
            rows, space = open_rows.take(length, count)
            each = space // length
            num = min(each * len(rows), count)
            placed += rows if each == 1 else [row for row in rows for _ in range(each)][:num]
            num_full, rest = divmod(num, each)
            open_rows.put(rows[:num_full], space - each * length)
            open_rows.put(rows[num_full:], space - rest * length)
            count -= num
    return np.array(placed, np.int64)


class _OpenRows:
    """Open rows by their number of free positions; bit s of `spaces` is set if a row has s free positions."""

    def __init__(self, row_length: int) -> None:
        self.row_length, self.num_rows, self.spaces = row_length, 0, 0
        self.groups: dict[int, deque[int]] = {}

    def take(self, length: int, count: int) -> tuple[list[int], int]:
        """Takes rows with the tightest space for a piece, as many as `count` pieces need; and that space."""
        fitting = self.spaces >> length
        if not fitting:
            needed = -(-count // (self.row_length // length))
            self.num_rows += needed
            return list(range(self.num_rows - needed, self.num_rows)), self.row_length
        space = length + (fitting & -fitting).bit_length() - 1
        group = self.groups[space]
        needed = -(-count // (space // length))
        if needed < len(group):
            return [group.popleft() for _ in range(needed)], space
        del self.groups[space]
        self.spaces ^= 1 << space
        return list(group), space

    def put(self, rows: list[int], space: int) -> None:
        """Adds rows that have `space` free positions; full rows are dropped."""
        if space and rows:
            if space not in self.groups:
                self.groups[space] = deque()
                self.spaces |= 1 << space
            self.groups[space].extend(rows)


def _arranged(
    example: np.ndarray, start: np.ndarray, length: np.ndarray, row: np.ndarray, row_length: int
) -> PackingPlan:
    num_rows = int(row.max(initial=-1)) + 1
    order = np.lexsort((start, example, row))
    sorted_length = length[order]
    row_starts = np.searchsorted(row[order], np.arange(num_rows + 1))
    before = np.cumsum(sorted_length) - sorted_length
    column = before - np.repeat(before[row_starts[:-1]] if num_rows else before[:0], np.diff(row_starts))
    return PackingPlan(
        example=example[order].astype(np.int32),
        start=start[order].astype(np.int32),
        length=sorted_length.astype(np.int32),
        column=column.astype(np.int32),
        row_starts=row_starts.astype(np.int64),
        row_length=row_length,
        num_split=0,
        num_truncated=0,
        num_dropped=0,
    )
