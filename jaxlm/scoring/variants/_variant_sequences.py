"""The queries of whole sequences that are compared, and the ratio of their likelihoods."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from jaxlm import data
from jaxlm.scoring.engine import Query, QueryScores
from jaxlm.scoring.measures import Context, LogLikelihood, LongPolicy, MaskedSpans

Reduce = Literal["mean", "sum"]


class CausalWindows(Sequence[Query]):
    """The queries of a sequence for a causal model: windows, if it is longer than the model reads.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      sequence: the text.
      long: for sequences that are longer than the model reads, "error" or "window" (see `LogLikelihood`).
      opened: whether the tokenizer's opening token is read before the sequence.
    """

    def __init__(self, context: Context, sequence: str, long: LongPolicy, *, opened: bool) -> None:
        measure = LogLikelihood(long=long, bos="document" if opened else "none").resolved(context)
        self._queries = measure.start(context, data.Record("", sequence, {})).queries

    def __len__(self) -> int:
        return len(self._queries)

    def __getitem__(self, index: int) -> Query:
        return self._queries[index]

    def read(self, scores: Sequence[QueryScores]) -> np.ndarray:
        """Returns log p(token | tokens before it) of each token that is predicted, `Float64[n]`."""
        return np.concatenate([answer.log_probs for answer in scores]).astype(np.float64)


def likelihood_ratio(
    sequences: Sequence[MaskedSpans | CausalWindows], scores: Sequence[QueryScores], reduce: Reduce
) -> float:
    """Returns the mutant's log-likelihood minus the wild type's, in nats.

    Args:
      sequences: the queries of the mutant, and those of the wild type.
      scores: the answers to the mutant's queries, then those to the wild type's.
      reduce: "mean" divides each log-likelihood by its number of predictions; "sum" does not.
    """
    mutant, wild = sequences
    answers = mutant.read(scores[: len(mutant)]), wild.read(scores[len(mutant) :])
    new, old = (math.fsum(values) / (len(values) if reduce == "mean" else 1) for values in answers)
    return new - old
