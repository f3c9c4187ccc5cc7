"""How well scores of variants rank what was measured of them."""

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
    """Returns Spearman's rho of each column of scores with what was measured, with a bootstrap interval.

    Variants without a score or a measurement are left out, of each column by itself. Single mutants of one
    place resemble each other and are drawn together; every other variant is drawn by itself.

    Args:
      columns: scores by name, None or NaN where there is none.
      measured: of the same variants.
      variants: their names, as `A23T`; None: each is drawn by itself.
      samples: bootstrap resamples.
      seed: the same seed draws the same resamples.

    Returns:
      An `Interval` a column; of fewer than 3 variants its numbers are NaN.

    Example:
      >>> found = rank_variants({"wt_fill": [1.0, 2.0, 3.0, None]}, [0.1, 0.5, 0.9, 0.2], samples=100)
      >>> found["wt_fill"].estimate
      1.0
    """
    wanted = _numbers(measured)
    groups = _groups(variants, len(wanted))
    found = {}
    for name, values in columns.items():
        scores = _numbers(values)
        both = np.isfinite(scores) & np.isfinite(wanted)
        if both.sum() < FEWEST_VARIANTS:
            found[name] = Interval(float("nan"), float("nan"), float("nan"), 0.95, 0)
            continue
        found[name] = bootstrap_interval(
            scores[both], wanted[both], groups=groups[both], samples=samples, seed=seed
        )
    return found


def _numbers(values: Values) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _groups(variants: Sequence[str | None] | None, number: int) -> np.ndarray:
    """The place of a single mutant, as its symbol and number; a number of its own for every other variant."""
    if variants is None:
        return np.arange(number)
    names = [name or "" for name in variants]
    return np.array(
        [name[:-1] if name and ":" not in name else f"{n}:" for n, name in enumerate(names)], dtype=object
    ).astype(str)
