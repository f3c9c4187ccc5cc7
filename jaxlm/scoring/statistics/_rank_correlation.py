"""How well scores rank what was measured: Spearman's rho, and how sure one can be of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxlm.errors import UsageError


class Interval(NamedTuple):
    """A statistic and a bootstrap interval around it.

    Attributes:
      estimate: the statistic of all pairs.
      low, high: quantiles of the statistic of resampled pairs; NaN where it is defined for none.
      confidence: the share of resamples between them.
      samples: how many resamples the quantiles are of: those for which the statistic is defined.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    samples: int


def spearman(scores: np.ndarray, values: np.ndarray) -> float:
    """Returns Spearman's rank correlation: Pearson's of the ranks, ties at their mean rank.

    Args:
      scores: `Float[N]`, N at least 2.
      values: `Float[N]`, what they are compared with.

    Returns:
      rho in [-1, 1]; NaN where either is constant, so that there is nothing to rank.

    Raises:
      ValueError: if the lengths differ, there are fewer than two pairs, or one is not finite.

    Example:
      >>> spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 4.0, 9.0, 8.0]))
      0.8

    References:
      Spearman, "The Proof and Measurement of Association between Two Things", 1904,
        https://doi.org/10.2307/1412159.
    """
    scores, values = _pairs(scores, values)
    one, other = _ranks(scores), _ranks(values)
    one, other = one - one.mean(), other - other.mean()
    norm = np.sqrt((one @ one) * (other @ other))
    return float(np.clip(one @ other / norm, -1.0, 1.0)) if norm > 0 else float("nan")


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

    Pairs are drawn with replacement; where they come in groups (the variants at one position of a protein,
    which resemble each other), whole groups are, as many as there are: taken one by one, relatives would make
    the interval too narrow.

    Args:
      scores: `Float[N]`.
      values: `Float[N]`.
      groups: `[N]`, a name or a number a pair; None: each pair is a group.
      statistic: of (scores, values); resamples for which it is NaN are left out.
      samples: how many resamples.
      confidence: share of the resamples that the interval holds.
      seed: the same seed draws the same resamples.

    Returns:
      The interval.

    Raises:
      UsageError: as `spearman`, or if an option is out of range.

    Example:
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
    found = []
    for _ in range(samples):
        drawn = np.concatenate([members[one] for one in rng.integers(0, len(members), len(members))])
        if len(drawn) > 1:
            found.append(statistic(scores[drawn], values[drawn]))
    defined = np.asarray([one for one in found if not np.isnan(one)])
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


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, those of equal values their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _members(groups: np.ndarray, number: int) -> list[np.ndarray]:
    """The indices of the pairs of each group."""
    if groups.shape != (number,):
        raise ValueError(f"expected a group for each of {number} pairs, got shape {groups.shape}")
    _, place, count = np.unique(groups, return_inverse=True, return_counts=True)
    return np.split(np.argsort(place, kind="stable"), np.cumsum(count)[:-1])
