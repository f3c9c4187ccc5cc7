"""Substitution by the rows of a matrix of probabilities, with two table look-ups for each token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxlm import ops
from jaxlm.corruption._corrupt import Replacement
from jaxlm.corruption._shares import WORDS, array_module


@dataclass(frozen=True, eq=False)
class _ByMatrix:
    """Alias tables: a column is drawn uniformly, and its alias is taken if a threshold is exceeded."""

    thresholds: np.ndarray
    aliases: np.ndarray
    ids: np.ndarray
    row_of_id: np.ndarray

    def __call__(self, words: Any, tokens: Any) -> Any:
        xp, num_ids = array_module(tokens), self.ids.size
        row = xp.asarray(self.row_of_id)[tokens.clip(0, self.row_of_id.size - 1)]
        column = ops.multiply_high(words, num_ids)
        cell = row.clip(0, num_ids - 1) * np.uint32(num_ids) + column
        # The lower word of the product is uniform whatever the column is.
        is_below = words * np.uint32(num_ids) < xp.asarray(self.thresholds)[cell]
        drawn = xp.where(is_below, column, xp.asarray(self.aliases)[cell])
        return xp.where(row < num_ids, xp.asarray(self.ids)[drawn].astype(tokens.dtype), tokens)


def by_matrix(matrix: np.ndarray, ids: np.ndarray | Sequence[int] | None = None) -> Replacement:
    """Returns the replacement that draws a token's new id from the token's row of a matrix.

    Each probability is met to within V / 2^32, and ids of probability 0 are never drawn. Time and memory of a
    draw do not grow with V.

    Args:
      matrix: `Float[V V]`, entry (i, j) the probability that the id of row i becomes the id of column j. No
        entry is negative, and each row sums to 1 (to 1e-6).
      ids: the ids of the rows and of the columns, in order; other ids stay as they are. None: row i is id i.

    Returns:
      A replacement, a function of random `uint32` words and ids that returns the new ids.

    Raises:
      ValueError: if the matrix is not square, a row is no distribution (the message has the row's number),
        the number of ids is not the number of rows, or an id occurs twice.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import by_matrix
      >>> swap = by_matrix(np.array([[0.0, 1.0], [1.0, 0.0]]), ids=[7, 8])
      >>> swap(np.zeros(3, np.uint32), np.array([7, 8, 9])).tolist()
      [8, 7, 9]

    References:
      Walker, "An Efficient Method for Generating Discrete Random Variables with General Distributions",
      1977, https://doi.org/10.1145/355744.355749; Vose, 1991, https://doi.org/10.1109/32.92917.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"a substitution matrix is square: got the shape {matrix.shape}")
    bad = ~(np.all(matrix >= 0, 1) & np.isclose(matrix.sum(1), 1, rtol=0, atol=1e-6))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        total, least = matrix[row].sum(), matrix[row].min()
        raise ValueError(
            f"rows of a substitution matrix are not negative and sum to 1: row {row} has sum {total:g} and "
            f"smallest entry {least:g}"
        )
    ids = np.arange(len(matrix), dtype=np.int32) if ids is None else np.asarray(ids, np.int32)
    if ids.shape != matrix.shape[:1] or np.unique(ids).size != ids.size or ids.min() < 0:
        raise ValueError(f"ids name each of the {len(matrix)} rows once: got {ids.tolist()[:8]}")
    row_of_id = np.full(ids.max() + 2, ids.size, np.uint32)
    row_of_id[ids] = np.arange(ids.size)
    tables = [_alias_table(row / row.sum()) for row in matrix]
    thresholds, aliases = (np.concatenate(parts) for parts in zip(*tables, strict=True))
    return _ByMatrix(thresholds, aliases, ids, row_of_id)


def _alias_table(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each column the threshold below which it is taken, and the column that is taken otherwise."""
    heights = row * row.size
    shares, aliases = np.ones(row.size), np.arange(row.size, dtype=np.uint32)
    low, high = (list(np.flatnonzero(side)) for side in (heights < 1, heights >= 1))
    while low and high:
        short, tall = low.pop(), high[-1]
        shares[short], aliases[short] = heights[short], tall
        heights[tall] -= 1 - heights[short]
        if heights[tall] < 1:
            low.append(high.pop())
    # Columns that are left over have a height of about 1 and are their own alias, whatever the threshold.
    return np.minimum(np.round(shares * WORDS), WORDS - 1).astype(np.uint32), aliases
