"""Records of the scores of an evaluation: `training` fills them in, `reports` plots them."""

import math
from typing import Any, NamedTuple


class LevelSummary(NamedTuple):
    """Scores of the predictions in examples of one level of noise.

    Attributes:
      low: lower bound of the corrupted fraction of an example, included.
      high: upper bound, excluded except for the last level.
      nll: mean negative log-likelihood, nats.
      perplexity: `exp(nll)`.
      accuracy: share of the targets that were the likeliest token.
      top_k_accuracy: share of the targets among the k likeliest.
      calibration_error: expected calibration error, see `Evaluation`.
      weight: sum of the predictions' weights; the number of predictions if every weight is 1.
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
      calibration_error: expected calibration error of the likeliest token's probability, in [0, 1], with 15
        bins of equal width.
      scored: number of positions scored.
      tokens: tokens read, without padding.
      overflow: drawn positions that were not scored because a static size was too small.
      unigram_nll: `nll` of the baseline, the token frequencies of the training split; NaN without a baseline.
      unigram_perplexity: `exp(unigram_nll)`.
      unigram_accuracy: share of positions whose target is the most frequent token.
      bits_per_byte: `nll * scored / log(2)` over the bytes of the original text; NaN where a token of it is
        not scored, such as the first one of records without a start token (`data.ends`).
      by_level: the scores by the share of the example that was corrupted; empty without noise.
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
        """The mean negative log-likelihood in nats, by which checkpoints are compared."""
        return self.nll

    def line(self, step: int, split: str) -> dict[str, Any]:
        """Returns the line of metrics.jsonl: the fields, with `nll` under the name "loss".

        Args:
          step: batches consumed.
          split: the name of the split.
        """
        values = self._asdict()
        levels = [level._asdict() for level in values.pop("by_level")]
        return {"step": step, "split": split, "loss": values.pop("nll"), **values, "by_level": levels}


class SequenceEvaluation(NamedTuple):
    """Scores of a classifier or a regression.

    Attributes:
      loss: of a classifier, the mean cross-entropy in nats; of a regression, the mean squared error divided
        by the variance of the training labels, so that predicting their mean scores 1.
      accuracy: share of the records whose class is the likeliest; NaN for a regression.
      records: number of records scored.
      tokens: tokens read, without padding.
      baseline_loss: loss of predicting the training split's mean label, or its class frequencies.
    """

    loss: float
    accuracy: float
    records: int
    tokens: int
    baseline_loss: float = math.nan

    def line(self, step: int, split: str) -> dict[str, Any]:
        """Returns the line of metrics.jsonl.

        Args:
          step: batches consumed.
          split: the name of the split.
        """
        return {"step": step, "split": split, **self._asdict()}
