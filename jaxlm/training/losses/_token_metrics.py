"""Metrics of token predictions, as sums that add up over batches and devices before they are divided."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.errors import UsageError
from jaxlm.models import LevelSummary
from jaxlm.typing import Array, Float, Int

TOP_K, BINS, LEVELS = 5, 15, 10


class TokenSummary(NamedTuple):
    """Scores of token predictions, means over all predictions of a split.

    Attributes:
      nll: mean negative log-likelihood of the targets, in nats.
      perplexity: `exp(nll)`, computed from the mean over all predictions, not as a mean of the batches'
        perplexities.
      accuracy: share of the targets that were the most likely token.
      top_k_accuracy: share of the targets that were among the k likeliest tokens.
      calibration_error: expected calibration error in [0, 1]. Predictions are divided into bins of equal
        width by their confidence, the probability of the likeliest token; the error is the mean distance
        between the accuracy and the mean confidence of a bin, weighted by the bin's share of the predictions.
      weight: sum of the predictions' weights; the number of predictions if every weight is 1.
      by_level: a `LevelSummary` of these scores for each level of noise, a range of the corrupted share, in
        ascending order; levels without predictions are left out.
    """

    nll: float
    perplexity: float
    accuracy: float
    top_k_accuracy: float
    calibration_error: float
    weight: float
    by_level: tuple[LevelSummary, ...]


def token_metrics(
    scores: ops.TokenScores,
    weights: Float[Array, " M"],
    fractions: Float[Array, " M"] | None = None,
    *,
    top_k: int = TOP_K,
    bins: int = BINS,
    levels: int = LEVELS,
) -> dict[str, Array]:
    """Returns sums that `summarize_tokens` divides; the sums of batches add up to those of the whole split.

    Args:
      scores: the scores of M predictions, from `ops.token_scores`.
      weights: `Float[M]`, the weight of each prediction; with weight 0 it does not count, whatever its scores
        are.
      fractions: `Float[M]` in [0, 1], the share of each prediction's example that was corrupted; None: no
        sums by level are returned.
      top_k: k of the top-k accuracy.
      bins: number of bins of the confidence, of equal width on [0, 1].
      levels: number of levels of the fractions, of equal width on [0, 1].

    Returns:
      float32 sums by name: `loss_sum` (nats), `weight`, `correct`, `top_k_correct`, and `calibration`
      `[bins 3]` (weight, confidence, correct). With fractions also `by_level` `[levels 4]` (weight, nats,
      correct, top-k correct) and `level_calibration` `[levels bins 3]`. Counts are exact up to 2^24
      predictions at a time.

    Raises:
      UsageError: if `top_k`, `bins` or `levels` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import ops
      >>> from jaxlm.training import token_metrics
      >>> scores = ops.token_scores(jnp.eye(3), jnp.eye(3), None, jnp.array([0, 0, 2]))
      >>> sums = token_metrics(scores, jnp.array([1.0, 1.0, 0.0]), top_k=2)
      >>> sums["weight"].item(), sums["correct"].item(), sums["top_k_correct"].item()
      (2.0, 1.0, 2.0)

    References:
      Guo et al., "On Calibration of Modern Neural Networks", 2017, https://arxiv.org/abs/1706.04599
        (section 2, expected calibration error).
    """
    if min(top_k, bins, levels) < 1:
        raise UsageError(f"top_k, bins and levels are at least 1, got {top_k}, {bins} and {levels}")
    counts = weights != 0
    rows = jnp.where(counts[:, None], _rows(scores, weights, top_k), 0.0)
    calibration_rows = jnp.where(
        counts[:, None], jnp.stack([weights, weights * scores.confidence, rows[:, 2]], axis=-1), 0.0
    )
    weight, loss_sum, correct, top_k_correct = rows.sum(0)
    confidence_bins = _cells(scores.confidence, bins)
    sums = {
        "loss_sum": loss_sum,
        "weight": weight,
        "correct": correct,
        "top_k_correct": top_k_correct,
        "calibration": jnp.zeros((bins, 3)).at[confidence_bins].add(calibration_rows),
    }
    if fractions is None:
        return sums
    level = _cells(fractions, levels)
    return sums | {
        "by_level": jnp.zeros((levels, 4)).at[level].add(rows),
        "level_calibration": jnp.zeros((levels, bins, 3)).at[level, confidence_bins].add(calibration_rows),
    }


def summarize_tokens(totals: Mapping[str, Any]) -> TokenSummary | None:
    """Returns means from the sums of `token_metrics`, added up over batches; None if nothing was scored.

    Args:
      totals: the sums by name, numbers and NumPy arrays; other names are ignored.

    Returns:
      `TokenSummary`, which has no NaN even if bins or levels are empty; None if the weights sum to 0.

    Example:
      >>> import numpy as np
      >>> from jaxlm.training import summarize_tokens
      >>> sums = {"loss_sum": 2.0, "weight": 4.0, "correct": 1, "top_k_correct": 3,
      ...         "calibration": np.array([[1, 0.25, 0], [3, 2.5, 1]])}
      >>> summary = summarize_tokens(sums)
      >>> summary.nll, round(summary.perplexity, 4), summary.accuracy, summary.calibration_error
      (0.5, 1.6487, 0.25, 0.4375)
    """
    if not totals.get("weight", 0):
        return None
    names = ("weight", "loss_sum", "correct", "top_k_correct")
    whole = _means([float(totals[name]) for name in names], np.asarray(totals["calibration"]))
    return TokenSummary(**whole, by_level=_levels(totals) if "by_level" in totals else ())


def _rows(scores: ops.TokenScores, weights: Float[Array, " M"], top_k: int) -> Float[Array, "M 4"]:
    """Weight, nats, correct and top-k correct of each prediction."""
    hits = [(scores.ranks < k).astype(jnp.float32) for k in (1, top_k)]
    return jnp.stack([weights, -weights * scores.log_probs, *(weights * hit for hit in hits)], axis=-1)


def _cells(values: Float[Array, " M"], number: int) -> Int[Array, " M"]:
    """Returns the index of each value among `number` bins of equal width on [0, 1], the last one closed."""
    scaled = jnp.nan_to_num(values.astype(jnp.float32) * number)
    return jnp.clip(jnp.floor(scaled), 0, number - 1).astype(jnp.int32)


def _levels(totals: Mapping[str, Any]) -> tuple[LevelSummary, ...]:
    sums, calibration = np.asarray(totals["by_level"]), np.asarray(totals["level_calibration"])
    number = len(sums)
    return tuple(
        LevelSummary(
            low=level / number, high=(level + 1) / number, **_means(sums[level].tolist(), calibration[level])
        )
        for level in range(number)
        if sums[level, 0]
    )


def _means(sums: list[float], calibration: np.ndarray) -> dict[str, float]:
    weight, loss_sum, correct, top_k_correct = sums
    nll = loss_sum / weight
    # share of a bin * |mean correct - mean confidence| = |sum of correct - sum of confidence| / total weight.
    distances = np.abs(calibration[:, 2].astype(np.float64) - calibration[:, 1])
    return {
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else math.inf,
        "accuracy": correct / weight,
        "top_k_accuracy": top_k_correct / weight,
        "calibration_error": float(distances.sum()) / weight,
        "weight": weight,
    }
