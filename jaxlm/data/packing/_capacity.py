"""The largest number of masked positions in a batch, for which a training step is compiled."""

import numpy as np

from jaxlm.data.cache import TokenCache
from jaxlm.data.packing._packing import PackingPlan
from jaxlm.errors import UsageError

TOKENS_AT_ONCE = 1 << 24


def masked_capacity(
    cache: TokenCache, plan: PackingPlan, batch_size: int, forbidden: np.ndarray, rate: float
) -> int:
    """Returns an upper bound of the masked positions in a batch, whichever rows the batch holds.

    A model can compute logits at this fixed number of positions alone. Counts are exact for each piece of a
    row: of n > 0 positions that may be masked, max(1, round(rate * n)) are masked. The bound allows for a
    batch that holds the same row twice, at the end of one epoch and the beginning of the next.

    Args:
      cache: the tokens of the records.
      plan: which pieces of the records each row holds, see `plan_packing`.
      batch_size: the number of rows in a batch.
      forbidden: True = this id is never masked, `Bool[V]`.
      rate: the share of the maskable positions that are masked, in [0, 1].

    Returns:
      The number of masked positions that no batch exceeds; 0 if the plan has no rows or no token may be
      masked.

    Raises:
      UsageError: `batch_size` is not positive or `rate` not in [0, 1].
    """
    # Imported here, because `ops` imports JAX, which other users of this module do not need.
    from jaxlm import ops

    if batch_size < 1 or not 0 <= rate <= 1:
        raise UsageError(f"expected batch_size >= 1 and rate in [0, 1], got {batch_size} and {rate}")
    if not plan.num_rows:
        return 0
    allowed = _allowed_counts(cache, plan, np.asarray(forbidden, bool))
    rows = np.add.reduceat(ops.exact_counts(allowed, rate), plan.row_starts[:-1])
    return _most(np.sort(rows)[::-1], batch_size)


def _most(rows: np.ndarray, batch_size: int) -> int:
    """The largest sum over `batch_size` consecutive rows of the endless order; `rows` is in descending order.

    A batch is the end of one epoch, whole epochs, and the beginning of another. In the worst case both ends
    hold the same rows.
    """
    num_rows = len(rows)
    sums = np.concatenate([[0], np.cumsum(rows)])
    whole, rest = divmod(batch_size, num_rows)
    if num_rows % batch_size == 0 or rest == 0:
        return int(sums[batch_size] if whole == 0 else whole * sums[-1])
    ends = [(rest, whole), *([(rest + num_rows, whole - 1)] if whole else [])]
    return int(max(sums[-(-both // 2)] + sums[both // 2] + full * sums[-1] for both, full in ends))


def _allowed_counts(cache: TokenCache, plan: PackingPlan, forbidden: np.ndarray) -> np.ndarray:
    """The number of positions of each piece that may be masked; reads the tokens in blocks."""
    starts = cache.offsets[plan.example] + plan.start
    bounds = np.concatenate([starts, starts + plan.length])
    before = np.zeros(len(bounds), np.int64)
    total = 0
    for first in range(0, cache.num_tokens, TOKENS_AT_ONCE):
        running = np.cumsum(~forbidden[cache.tokens[first : first + TOKENS_AT_ONCE]])
        inside = (bounds > first) & (bounds <= first + len(running))
        before[inside] = total + running[bounds[inside] - first - 1]
        total += int(running[-1])
    return before[len(starts) :] - before[: len(starts)]
