"""What an evaluation says of a model: records that whoever evaluates fills in and reports draw."""

import math
from typing import Any, NamedTuple


class LevelSummary(NamedTuple):
    """Scores of the predictions from examples of one level of noise.

    Attributes:
      low: the level's examples have a corrupted fraction of at least `low`
      high: and less than `high` (the last level: at most).
      nll: mean negative log-likelihood, nats.
      perplexity: `exp(nll)`.
      accuracy: share of the targets that were the likeliest token.
      top_k_accuracy: share of the targets among the k likeliest.
      calibration_error: expected, as of `Evaluation`.
      weight: sum of the weights, the number of predictions where those are 1.
    """

    low: float
    high: float
    nll: float
    perplexity: float
    accuracy: float
    top_k_accuracy: float
    calibration_error: float
    weight: float


class Evaluation(NamedTuple):
    """Scores of a language model's predictions on a split: at masked positions, or of every next token.

    Attributes:
      nll: mean negative log-likelihood, nats.
      perplexity: `exp(nll)`.
      accuracy: share of positions whose target is the likeliest token.
      top_5_accuracy: share of positions whose target is among the five likeliest.
      calibration_error: expected, of the likeliest token's probability, 15 bins of equal width; 0 to 1.
      scored: positions scored.
      tokens: real tokens read.
      overflow: drawn positions that had no room and were not scored.
      unigram_nll: the same of the token frequencies of the training split; NaN without a baseline.
      unigram_perplexity: `exp(unigram_nll)`.
      unigram_accuracy: share of positions whose target is the most frequent token.
      bits_per_byte: `nll * scored / log(2)` by the bytes of the original text; NaN where not all of it was
        scored, as the first token of records that nothing opens (`data.ends`).
      by_level: the same scores by how much of the example was corrupted; empty without noise.
    """

    nll: float
    perplexity: float
    accuracy: float
    top_5_accuracy: float
    calibration_error: float
    scored: int
    tokens: int
    overflow: int
    unigram_nll: float = math.nan
    unigram_perplexity: float = math.nan
    unigram_accuracy: float = math.nan
    bits_per_byte: float = math.nan
    by_level: tuple[LevelSummary, ...] = ()

    @property
    def loss(self) -> float:
        """The mean negative log-likelihood, nats: what checkpoints are compared by."""
        return self.nll

    def line(self, step: int, split: str) -> dict[str, Any]:
        """Returns the line of metrics.jsonl: the fields, `nll` as `loss`."""
        values = self._asdict()
        levels = [level._asdict() for level in values.pop("by_level")]
        return {"step": step, "split": split, "loss": values.pop("nll"), **values, "by_level": levels}


class SequenceEvaluation(NamedTuple):
    """Scores of a head's outputs for whole records.

    Attributes:
      loss: mean cross-entropy in nats of a classifier; mean squared error of a regression in variances of the
        training labels, so that 1 is what their mean scores.
      accuracy: share of the records whose class is the likeliest; NaN for a regression.
      records: how many were scored.
      tokens: real tokens read.
      baseline_loss: what the mean label, or the class frequencies, of the training split score there.
    """

    loss: float
    accuracy: float
    records: int
    tokens: int
    baseline_loss: float = math.nan

    def line(self, step: int, split: str) -> dict[str, Any]:
        """Returns the line of metrics.jsonl."""
        return {"step": step, "split": split, **self._asdict()}
