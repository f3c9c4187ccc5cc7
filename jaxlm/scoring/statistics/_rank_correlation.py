"""How well scores rank measured values: Spearman's rho with a bootstrap interval."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxlm.errors import UsageError


class Interval(NamedTuple):
    """A statistic with its bootstrap interval.

    Attributes:
      estimate: the statistic of all pairs, without resampling.
      low: the lower quantile of the statistic over the resamples; NaN if the statistic is defined for no
        resample.
      high: the upper quantile of the statistic over the resamples; NaN if the statistic is defined for no
        resample.
      confidence: the share of resamples between `low` and `high`, in (0, 1).
      samples: the number of resamples for which the statistic is defined; the quantiles are taken over these.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    samples: int


def spearman(scores: np.ndarray, values: np.ndarray) -> float:
    """Returns Spearman's rank correlation: Pearson's correlation of the ranks; ties get their mean rank.

    Args:
      scores: `Float[n]`, n at least 2.
      values: `Float[n]`, the values that the scores are compared with, in the same order.

    Returns:
      rho in [-1, 1]; NaN if either array is constant, so that there is nothing to rank.

    Raises:
      ValueError: if the lengths differ or there are fewer than two pairs.
      UsageError: if a number is not finite.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import spearman
      >>> spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 4.0, 9.0, 8.0]))
      0.8

    References:
      Spearman, "The Proof and Measurement of Association between Two Things", 1904,
        https://doi.org/10.2307/1412159.
    """
    from scipy import stats  # imported when asked for: it takes longer than all else here

    scores, values = _pairs(scores, values)
    # `scipy.stats.spearmanr` is the same but for rounding; its p-value would take most of a bootstrap's time.
    first, second = (stats.rankdata(numbers) for numbers in (scores, values))
    first, second = first - first.mean(), second - second.mean()
    norm = np.sqrt((first @ first) * (second @ second))
    return float(np.clip(first @ second / norm, -1.0, 1.0)) if norm > 0 else float("nan")


def bootstrap_interval(
    scores: np.ndarray,
    values: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    statistic: Callable[[np.ndarray, np.ndarray], float] = spearman,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Returns a statistic of pairs with its percentile bootstrap interval.

    Each resample draws n groups with replacement, where n is the number of groups, and takes all pairs of a
    drawn group. Pairs that resemble each other, such as the variants at one position of a protein, belong in
    one group: if they were drawn one by one, the interval would be too narrow.

    Args:
      scores: `Float[n]`, the first number of each pair.
      values: `Float[n]`, the second number of each pair.
      groups: `[n]`, the name or number of each pair's group; None: each pair is a group of its own.
      statistic: a function of (scores, values); resamples for which it is NaN are left out.
      samples: how many resamples are drawn.
      confidence: the share of resamples inside the interval.
      seed: the same seed draws the same resamples.

    Returns:
      The statistic of all pairs, and the interval.

    Raises:
      ValueError: if the lengths differ or there are fewer than two pairs.
      UsageError: if a number is not finite, or an option is out of range.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import bootstrap_interval
      >>> rng = np.random.default_rng(0)
      >>> values = rng.normal(size=200)
      >>> interval = bootstrap_interval(values + rng.normal(size=200), values)
      >>> interval.low < interval.estimate < interval.high
      True

    References:
      Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979,
        https://doi.org/10.1214/aos/1176344552.
    """
    scores, values = _pairs(scores, values)
    if samples < 1 or not 0 < confidence < 1:
        raise UsageError(
            f"expected samples >= 1 and confidence between 0 and 1, got {samples} and {confidence}"
        )
    members = _members(np.arange(len(scores)) if groups is None else np.asarray(groups), len(scores))
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(samples):
        drawn = np.concatenate([members[group] for group in rng.integers(0, len(members), len(members))])
        if len(drawn) > 1:
            resampled.append(statistic(scores[drawn], values[drawn]))
    defined = np.asarray([value for value in resampled if not np.isnan(value)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    return Interval(statistic(scores, values), float(low), float(high), confidence, len(defined))


def _pairs(scores: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, values = np.asarray(scores, np.float64), np.asarray(values, np.float64)
    if scores.ndim != 1 or scores.shape != values.shape or len(scores) < 2:
        raise ValueError(
            f"expected two arrays of the same length, 2 or more: got shapes {scores.shape} and {values.shape}"
        )
    if not (np.isfinite(scores).all() and np.isfinite(values).all()):
        raise UsageError("expected finite numbers to rank, got NaN or infinity among them")
    return scores, values


def _members(groups: np.ndarray, number: int) -> list[np.ndarray]:
    """Returns, for each group, the indices of its pairs."""
    if groups.shape != (number,):
        raise ValueError(f"expected a group for each of {number} pairs, got shape {groups.shape}")
    _, group, count = np.unique(groups, return_inverse=True, return_counts=True)
    return np.split(np.argsort(group, kind="stable"), np.cumsum(count)[:-1])
