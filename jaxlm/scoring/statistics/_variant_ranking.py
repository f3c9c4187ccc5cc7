"""How well scores of variants rank their measured values."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxlm.scoring.statistics._rank_correlation import Interval, bootstrap_interval

Values = Sequence[float | None] | np.ndarray
FEWEST_VARIANTS = 3


def rank_variants(
    columns: Mapping[str, Values],
    measured: Values,
    variants: Sequence[str | None] | None = None,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns Spearman's rho between each column of scores and the measured values, with its interval.

    For each column, variants without a score or a measured value are left out. The bootstrap draws single
    mutants of one position together, because they resemble each other, and every other variant by itself.

    Args:
      columns: the scores of n variants by column name; None or NaN for a variant without a score.
      measured: the measured values of the same variants; None or NaN for a variant without a measured value.
      variants: the names of the variants, such as `A23T`, which tell the mutated position; None: each variant
        is drawn by itself.
      samples: how many bootstrap resamples are drawn.
      seed: the same seed draws the same resamples.

    Returns:
      An `Interval` for each column; its estimate and limits are NaN if fewer than 3 variants have both
      values.

    Example:
      >>> from jaxlm.scoring import rank_variants
      >>> ranking = rank_variants({"wt_fill": [1.0, 2.0, 3.0, None]}, [0.1, 0.5, 0.9, 0.2], samples=100)
      >>> ranking["wt_fill"].estimate
      1.0
    """
    targets = _numbers(measured)
    groups = _groups(variants, len(targets))
    ranking = {}
    for name, values in columns.items():
        scores = _numbers(values)
        both = np.isfinite(scores) & np.isfinite(targets)
        if both.sum() < FEWEST_VARIANTS:
            ranking[name] = Interval(float("nan"), float("nan"), float("nan"), 0.95, 0)
            continue
        ranking[name] = bootstrap_interval(
            scores[both], targets[both], groups=groups[both], samples=samples, seed=seed
        )
    return ranking


def _numbers(values: Values) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _groups(variants: Sequence[str | None] | None, number: int) -> np.ndarray:
    """Returns the group of each variant: of a single mutant its position, of every other its own number."""
    if variants is None:
        return np.arange(number)
    names = [name or "" for name in variants]
    return np.array(
        [name[:-1] if name and ":" not in name else f"{n}:" for n, name in enumerate(names)], dtype=object
    ).astype(str)
