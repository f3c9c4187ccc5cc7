"""The log-likelihood of given ids after given ids, as lm-evaluation-harness asks for it."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import LogProbForward, Query, QueryScores
from jaxlm.scoring.measures import Context, Measure, Question, Round, ScoreError, ScoreRow, nats

PAIRS = "pairs"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenPairLikelihood(Measure):
    """The sum over a record's pairs of `log p(continuation | context)`, in nats; 0 if there are no pairs.

    The pairs, `(context, continuation)` as ids, are the record's `kept["pairs"]`. If a pair is longer than
    the model reads, the beginning of its context is left out.

    Attributes:
      shared: whether several records may have the same context, which is then read once.
    """

    name: ClassVar[str] = "given-pairs"
    questions: ClassVar[tuple[Question, ...]] = ("next_token",)
    shared: bool = True

    def forward(self, context: Context) -> LogProbForward:
        """Returns log-probabilities with their ranks, which say what greedy decoding would write."""
        return LogProbForward(details=True, shared_contexts=self.shared)

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns no text: the pairs are ids already."""
        return ()

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the log-likelihood, and whether greedy decoding would write the continuations."""
        return [nats("log_likelihood"), pa.field("is_greedy", pa.bool_())]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns a query for each pair."""
        pairs = (record.kept or {})[PAIRS]
        return Round(None, [_query(tokens, continuation, context.longest) for tokens, continuation in pairs])

    def advance(self, state: None, answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the sum of the answers."""
        total = sum(float(answer.log_probs.sum(dtype=np.float64)) for answer in answers)
        is_greedy = all(bool((answer.ranks == 0).all()) for answer in answers)
        return {"log_likelihood": total, "is_greedy": is_greedy}


def _query(context: np.ndarray, continuation: np.ndarray, longest: int) -> Query:
    if not continuation.size:
        raise ScoreError("the continuation has no tokens of its own behind the context's")
    if not context.size:
        raise ScoreError(
            "there is no token before the continuation's first one, and the tokenizer has no bos or eos"
        )
    if continuation.size > longest:
        raise ScoreError(f"the continuation has {continuation.size} tokens, and at most {longest} are read")
    stream = np.concatenate([context, continuation]).astype(np.int32)[-(longest + 1) :]
    known = len(stream) - continuation.size
    places = np.arange(known - 1, len(stream) - 1, dtype=np.int32)
    return Query(stream[:-1], places, stream[known:], context=known)
