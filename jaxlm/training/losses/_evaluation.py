"""Scores of an evaluation: its sums divided, and the baseline of token or label frequencies."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxlm import data, models
from jaxlm.models import Evaluation, SequenceEvaluation
from jaxlm.training.losses._token_metrics import summarize_tokens

COUNTED_AT_ONCE = 1 << 22


def unigram_log_probs(
    cache: data.TokenCache, forbidden: np.ndarray, *, unless_seen: bool = False
) -> np.ndarray:
    """Returns the log-probabilities in nats of the ids' frequencies in a split, add-one smoothed.

    `p(v) = (n(v) + 1) / sum_u (n(u) + 1)`, where n counts the occurrences of an id in the split and u runs
    over the ids that can be a target.

    Args:
      cache: the encoded records of the training split.
      forbidden: `Bool[V]`, True = ids that are never a target; they get probability 0 and log-probability
        -inf.
      unless_seen: whether forbidden ids that occur in the split are targets after all. For a causal model,
        this is so for the token that closes a document.

    Returns:
      `Float32[V]`, log-probabilities in nats.
    """
    counts = np.zeros(len(forbidden), np.int64)
    for first in range(0, cache.num_tokens, COUNTED_AT_ONCE):
        counts += np.bincount(cache.tokens[first : first + COUNTED_AT_ONCE], minlength=len(forbidden))
    return log_frequencies(counts, forbidden & (counts == 0) if unless_seen else forbidden)


def log_frequencies(counts: np.ndarray, forbidden: np.ndarray) -> np.ndarray:
    """Returns log-probabilities in nats from counts of ids, add-one smoothed; -inf for forbidden ids.

    Example:
      >>> import numpy as np
      >>> from jaxlm.training import log_frequencies
      >>> np.exp(log_frequencies(np.array([9, 2, 0]), np.array([True, False, False]))).round(2).tolist()
      [0.0, 0.75, 0.25]
    """
    smoothed = np.where(forbidden, 0, counts + 1).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.log(smoothed / max(smoothed.sum(), 1.0)).astype(np.float32)


def summarize(totals: Mapping[str, Any], *, num_bytes: int | None = None) -> Evaluation | None:
    """Returns the means of a split's sums for a language model; None if nothing was scored.

    Args:
      totals: the sums of an evaluation over the split, as `token_metrics` names them. Some may be missing;
        scores that depend on missing sums are NaN.
      num_bytes: size of the original text in bytes, if all of it was scored; None: the bits per byte are NaN.

    Example:
      >>> import numpy as np
      >>> from jaxlm.training import summarize
      >>> sums = {"loss_sum": 3.0, "weight": 4.0, "correct": 1, "top_k_correct": 2, "tokens": 30,
      ...         "overflow": 0, "calibration": np.array([[4, 1.5, 1]])}
      >>> summarize(sums).nll, summarize(sums).accuracy, summarize(sums).calibration_error
      (0.75, 0.25, 0.125)
    """
    if "calibration" not in totals:
        return _plain(totals)
    summary = summarize_tokens(totals)
    if summary is None:
        return None
    unigram = float(totals.get("unigram_loss_sum", math.nan)) / summary.weight
    bits = math.nan if not num_bytes else float(totals["loss_sum"]) / math.log(2) / num_bytes
    return Evaluation(
        nll=summary.nll,
        perplexity=summary.perplexity,
        accuracy=summary.accuracy,
        top_5_accuracy=summary.top_k_accuracy,
        calibration_error=summary.calibration_error,
        scored=int(totals.get("scored", round(summary.weight))),
        tokens=int(totals["tokens"]),
        overflow=int(totals["overflow"]),
        unigram_nll=unigram,
        unigram_perplexity=math.exp(unigram) if unigram < 700 else math.inf,
        unigram_accuracy=float(totals.get("unigram_correct", math.nan)) / summary.weight,
        bits_per_byte=bits,
        by_level=summary.by_level,
    )


def _plain(totals: Mapping[str, Any]) -> Evaluation | None:
    """Returns the scores of a loss with sums of its own: the mean loss, and accuracy where it counts it."""
    weight = float(totals.get("weight", 0))
    if not weight:
        return None
    scored = int(totals["scored"])
    return Evaluation(
        nll=float(totals["loss_sum"]) / weight,
        perplexity=math.nan,
        accuracy=float(totals.get("correct", math.nan)) / scored,
        top_5_accuracy=math.nan,
        calibration_error=math.nan,
        scored=scored,
        tokens=int(totals["tokens"]),
        overflow=int(totals["overflow"]),
    )


def summarize_sequences(
    totals: Mapping[str, Any], *, baseline_loss: float = math.nan
) -> SequenceEvaluation | None:
    """Returns the means of a split's sums for a classifier or a regression; None if nothing was scored.

    Args:
      totals: the sums of `class_evaluation` or `value_loss` over the split, by name.
      baseline_loss: the loss of a constant prediction, which is reported with the scores.

    Example:
      >>> from jaxlm.training import summarize_sequences
      >>> sums = {"loss_sum": 3.0, "weight": 2.0, "correct": 1, "tokens": 9}
      >>> summarize_sequences(sums).loss, summarize_sequences(sums).accuracy
      (1.5, 0.5)
    """
    weight = float(totals.get("weight", 0))
    if not weight:
        return None
    # `correct` counts targets, not their weights.
    scored = int(totals.get("scored", round(weight)))
    return SequenceEvaluation(
        loss=float(totals["loss_sum"]) / weight,
        accuracy=float(totals.get("correct", math.nan)) / scored,
        records=scored,
        tokens=int(totals["tokens"]),
        baseline_loss=baseline_loss,
    )


def baseline_loss(labels: np.ndarray | None, train: np.ndarray | None, head: models.HeadConfig) -> float:
    """Returns the loss of predicting the training labels' mean, or each class by its frequency there.

    Args:
      labels: `Float[N]` to be predicted; NaN: unlabelled; None gives NaN.
      train: `Float[N]` of the training split; None gives NaN.
      head: one output is a regression, in whose `scale` errors are measured; several are classes (nats,
        add-one smoothed).

    Example:
      >>> import numpy as np
      >>> from jaxlm import models
      >>> from jaxlm.training.losses._evaluation import baseline_loss
      >>> one = models.HeadConfig(num_outputs=1, scale=2.0)
      >>> baseline_loss(np.array([1.0, 3.0]), np.array([2.0, 2.0]), one)
      0.25
    """
    if labels is None or train is None:
        return math.nan
    known, seen = (np.asarray(part, np.float64) for part in (labels, train))
    known, seen = known[~np.isnan(known)], seen[~np.isnan(seen)]
    if not len(known) or not len(seen):
        return math.nan
    if head.num_outputs == 1:
        return float(np.mean(np.square(known - seen.mean()))) / head.scale**2
    counts = np.bincount(seen.astype(int), minlength=head.required_outputs()) + 1
    return float(-np.log(counts / counts.sum())[known.astype(int)].mean())
