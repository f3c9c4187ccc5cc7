"""Whole sequences of a comparison, read to the end: masked token by token, or from left to right."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from jaxlm import data
from jaxlm.scoring.engine import Query, QueryScores
from jaxlm.scoring.measures import Context, LogLikelihood, LongPolicy, MaskedSpans

Reduce = Literal["mean", "sum"]


class CausalWindows(Sequence[Query]):
    """A sequence as a causal model reads it, in windows where it is long.

    Args:
      context: of the model.
      sequence: the text.
      long: as for `LogLikelihood`.
      opened: whether the opening token stands before it.
    """

    def __init__(self, context: Context, sequence: str, long: LongPolicy, *, opened: bool) -> None:
        measure = LogLikelihood(long=long, bos="document" if opened else "none").resolved(context)
        self._pieces = measure.start(context, data.Record("", sequence, {})).queries

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, index: int) -> Query:
        return self._pieces[index]

    def read(self, scores: Sequence[QueryScores]) -> np.ndarray:
        """Returns log p(token | the tokens before it) of each token that something predicts, `Float64[n]`."""
        return np.concatenate([one.log_probs for one in scores]).astype(np.float64)


def likelihood_ratio(
    halves: Sequence[MaskedSpans | CausalWindows], scores: Sequence[QueryScores], reduce: Reduce
) -> float:
    """Returns the mutant's log-likelihood less the wild type's, in nats, or that of their means.

    Args:
      halves: the pieces of the mutant and those of the wild type.
      scores: of both, the one behind the other.
      reduce: "mean", each divided by its own number of predictions; "sum", neither.
    """
    mutant, wild = halves
    answers = mutant.read(scores[: len(mutant)]), wild.read(scores[len(mutant) :])
    new, old = (math.fsum(one) / (len(one) if reduce == "mean" else 1) for one in answers)
    return new - old
