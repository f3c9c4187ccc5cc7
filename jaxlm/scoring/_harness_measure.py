"""The log-likelihood of ids behind ids that are given, as lm-evaluation-harness asks for it."""

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
    """The sum over a record's pairs of `log p(continuation | context)`, in nats, 0 where there are none.

    The pairs, `(context, continuation)` as ids, are the record's `meta["pairs"]`. Of what is longer than the
    model reads the beginning of the context is left out.

    Attributes:
      shared: whether records have contexts to be shared.
    """

    name: ClassVar[str] = "given-pairs"
    questions: ClassVar[tuple[Question, ...]] = ("next_token",)
    shared: bool = True

    def forward(self, context: Context) -> LogProbForward:
        return LogProbForward(details=True, shared_contexts=self.shared)

    def texts(self, record: data.Record) -> Sequence[str]:
        return ()

    def columns(self, context: Context) -> list[pa.Field]:
        return [nats("log_likelihood"), pa.field("is_greedy", pa.bool_())]

    def start(self, context: Context, record: data.Record) -> Round:
        return Round(None, [_piece(*pair, context.longest) for pair in record.meta[PAIRS]])

    def advance(self, state: None, answers: Sequence[QueryScores]) -> ScoreRow:
        total = sum(float(one.log_probs.sum(dtype=np.float64)) for one in answers)
        return {"log_likelihood": total, "is_greedy": all(bool((one.ranks == 0).all()) for one in answers)}


def _piece(context: np.ndarray, continuation: np.ndarray, longest: int) -> Query:
    if not continuation.size:
        raise ScoreError("nothing of the continuation is left behind the context's tokens")
    if not context.size:
        raise ScoreError(
            "nothing is before the continuation's first token, and the tokenizer has no bos or eos"
        )
    if continuation.size > longest:
        raise ScoreError(f"the continuation has {continuation.size} tokens, and at most {longest} are read")
    stream = np.concatenate([context, continuation]).astype(np.int32)[-(longest + 1) :]
    known = len(stream) - continuation.size
    places = np.arange(known - 1, len(stream) - 1, dtype=np.int32)
    return Query(stream[:-1], places, stream[known:], context=known)
