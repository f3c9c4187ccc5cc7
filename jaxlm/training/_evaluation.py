"""What an evaluation says: scores at masked positions, and what frequencies alone would have scored there."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxlm import data

TOKENS_AT_ONCE = 1 << 22


class Evaluation(NamedTuple):
    """Scores at the masked positions of a split.

    Attributes:
      nll: mean negative log-likelihood, nats.
      perplexity: `exp(nll)`.
      accuracy: share of positions whose target is the likeliest token.
      masked: positions scored.
      tokens: real tokens read.
      overflow: drawn positions that had no room and were not scored.
      unigram_nll: the same of the token frequencies of the training split; NaN without a baseline.
      unigram_perplexity: `exp(unigram_nll)`.
      unigram_accuracy: share of positions whose target is the most frequent token.
    """

    nll: float
    perplexity: float
    accuracy: float
    masked: int
    tokens: int
    overflow: int
    unigram_nll: float
    unigram_perplexity: float
    unigram_accuracy: float

    def line(self, step: int, split: str) -> dict[str, Any]:
        """Returns the line of metrics.jsonl: the fields, `nll` as `loss`."""
        values = self._asdict()
        return {"step": step, "split": split, "loss": values.pop("nll"), **values}


def unigram_log_probs(cache: data.TokenCache, forbidden: np.ndarray) -> np.ndarray:
    """Returns the log-probabilities of the tokens by their frequency in a split, add-one smoothed, nats.

    `p(v) = (n(v) + 1) / sum_u (n(u) + 1)` over the ids that can be a target.

    Args:
      cache: the training split.
      forbidden: `Bool[V]`, True for ids that are never a target; they get probability 0 and log-probability
        -inf.

    Returns:
      `Float32[V]`.
    """
    counts = np.zeros(len(forbidden), np.int64)
    for first in range(0, cache.num_tokens, TOKENS_AT_ONCE):
        counts += np.bincount(cache.tokens[first : first + TOKENS_AT_ONCE], minlength=len(forbidden))
    return log_frequencies(counts, forbidden)


def log_frequencies(counts: np.ndarray, forbidden: np.ndarray) -> np.ndarray:
    """Returns log-probabilities from counts, add-one smoothed; -inf for forbidden ids.

    Example:
      >>> np.exp(log_frequencies(np.array([9, 2, 0]), np.array([True, False, False]))).round(2).tolist()
      [0.0, 0.75, 0.25]
    """
    smoothed = np.where(forbidden, 0, counts + 1).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.log(smoothed / max(smoothed.sum(), 1.0)).astype(np.float32)


def summarize(totals: Mapping[str, int | float]) -> Evaluation | None:
    """Returns the means of an evaluation's sums; None where nothing was masked.

    Example:
      >>> sums = {"loss_sum": 3.0, "weight": 4.0, "correct": 1, "tokens": 30, "overflow": 0}
      >>> summarize(sums).nll, summarize(sums).accuracy
      (0.75, 0.25)
    """
    masked = int(totals.get("weight", 0))
    if not masked:
        return None
    nll = totals["loss_sum"] / masked
    unigram = totals.get("unigram_loss_sum", math.nan) / masked
    return Evaluation(
        nll=nll,
        perplexity=_exp(nll),
        accuracy=totals["correct"] / masked,
        masked=masked,
        tokens=int(totals["tokens"]),
        overflow=int(totals["overflow"]),
        unigram_nll=unigram,
        unigram_perplexity=_exp(unigram),
        unigram_accuracy=totals.get("unigram_correct", math.nan) / masked,
    )


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
