"""Records of the scores of an evaluation: `training` fills them in, `reports` plots them."""

import math
from typing import Any, NamedTuple


class LevelSummary(NamedTuple):
    """Scores of the predictions in examples of one level of noise, a range of the corrupted share.

    Attributes:
      low: lower bound of the level, a share of an example's tokens; the bound belongs to the level.
      high: upper bound of the level; the bound belongs to the next level, or to this one if it is the last.
      nll: mean negative log-likelihood of the targets, in nats.
      perplexity: `exp(nll)`.
      accuracy: share of the targets that were the most likely token.
      top_k_accuracy: share of the targets that were among the k most likely tokens.
      calibration_error: expected calibration error in [0, 1], as in `Evaluation`.
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
      nll: mean negative log-likelihood of the targets, in nats.
      perplexity: `exp(nll)`.
      accuracy: share of positions whose target is the most likely token.
      top_5_accuracy: share of positions whose target is among the five most likely tokens.
      calibration_error: expected calibration error in [0, 1], of the most likely token's probability, with 15
        bins of equal width: the mean distance between the accuracy and the mean probability in a bin.
      scored: number of positions scored.
      tokens: number of tokens read, without padding.
      overflow: number of positions (or spans) that were drawn to be predicted but were not, because a static
        size was too small.
      unigram_nll: mean negative log-likelihood in nats by the baseline, the token frequencies of the training
        split; NaN without a baseline.
      unigram_perplexity: `exp(unigram_nll)`.
      unigram_accuracy: share of positions whose target is the most frequent token; NaN without a baseline.
      bits_per_byte: `nll * scored / log(2)` divided by the number of bytes of the original text. NaN if some
        token of the text is not scored, such as the first token of records without a start token
        (`data.ends`).
      by_level: a `LevelSummary` for each range of the share of an example that was corrupted; empty if
        nothing was corrupted.
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
        """Returns the record for a line of metrics.jsonl: all fields, with `nll` under the name "loss".

        Args:
          step: number of batches consumed.
          split: the name of the split.
        """
        values = self._asdict()
        levels = [level._asdict() for level in values.pop("by_level")]
        return {"step": step, "split": split, "loss": values.pop("nll"), **values, "by_level": levels}


class SequenceEvaluation(NamedTuple):
    """Scores of a classifier or a regression.

    Attributes:
      loss: for a classifier, the mean cross-entropy in nats. For a regression, the mean squared error divided
        by the variance of the training labels, so that predicting their mean scores 1.
      accuracy: share of the records whose true class is the most likely one; NaN for a regression.
      records: number of records scored.
      tokens: number of tokens read, without padding.
      baseline_loss: the loss of always predicting the mean label of the training split, or its class
        frequencies.
    """

    loss: float
    accuracy: float
    records: int
    tokens: int
    baseline_loss: float = math.nan

    def line(self, step: int, split: str) -> dict[str, Any]:
        """Returns the record for a line of metrics.jsonl.

        Args:
          step: number of batches consumed.
          split: the name of the split.
        """
        return {"step": step, "split": split, **self._asdict()}
