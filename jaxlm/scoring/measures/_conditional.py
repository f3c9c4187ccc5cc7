"""The log-likelihood of a continuation given its context, the two encoded together."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import LogProbForward, Query, QueryScores
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring.measures._openings import BosPolicy, opening_ids, resolve_bos, unopened_remark
from jaxlm.scoring.measures._unknown import UnknownPolicy, check_unknown

ConditionalBos = BosPolicy | Literal["empty"]
ContextPolicy = Literal["error", "left", "last"]


class ContinuationState(NamedTuple):
    """What the row of a continuation needs in addition to its scores.

    Attributes:
      continuation: its text.
      num_context: tokens of the context.
      num_cut: how many of these were cut off.
    """

    continuation: str
    num_context: int
    num_cut: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditional(Measure):
    """`log p(continuation | context)` in nats, and whether greedy decoding would write the continuation.

    The record's text is the continuation, and its `meta` holds the context. White space at the end of the
    context moves to the continuation; then both are encoded as one text, and the ids behind as many ids as
    the context alone has are the continuation. A context that many continuations share is read once.

    Attributes:
      context: the name of the context in `Record.meta`.
      bos: what is read before the context: as in `resolve_bos`, or "empty": the opening token if there is no
        context, else nothing.
      long: what happens if both are longer than the model reads: "error" refuses them; "left" cuts the
        beginning of the context and keeps the opening token; "last" cuts the opening token first. `num_cut`
        counts the tokens that are cut.
      unknown: a symbol that the vocabulary cannot write is an "error", or its token is scored like others
        ("score").

    Example:
      >>> from jaxlm.scoring import Conditional
      >>> Conditional(context="question").options()["context"]
      'question'
    """

    name: ClassVar[str] = "conditional"
    questions: ClassVar[tuple[Question, ...]] = ("next_token",)
    context: str = "context"
    bos: ConditionalBos = "auto"
    long: ContextPolicy = "error"
    unknown: UnknownPolicy = "error"

    def resolved(self, context: Context) -> "Conditional":
        """Returns the measure with `bos` filled in; see `Measure.resolved`.

        Raises:
          ScoreError: if `bos` is "window".
        """
        if self.bos == "window":
            raise ScoreError("bos='window' is for documents in windows: use 'document', 'empty' or 'none'")
        if self.bos == "empty":
            opening_ids(context)
            return self
        return dataclasses.replace(self, bos=resolve_bos(self.bos, context))

    def forward(self, context: Context) -> LogProbForward:
        """Returns log-probabilities with details; queries share their contexts."""
        return LogProbForward(details=True, shared_contexts=True)

    @property
    def fields(self) -> tuple[str, ...]:
        """The column of the context."""
        return (self.context,)

    def remark(self, context: Context, asked: "Conditional") -> str:
        """Returns a warning that no token opens texts, unless the user chose so."""
        return unopened_remark(context, asked.bos, self.bos)

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns the context, and the context with the continuation."""
        context, continuation = split_text(record.meta.get(self.context, ""), record.text)
        return context, context + continuation

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, the log-likelihood and its rates, and whether the continuation is greedy."""
        counts = ("num_context_tokens", "num_tokens", "num_bytes", "num_cut")
        rates = (nats("log_likelihood_per_token"), nats("log_likelihood_per_byte"))
        return [
            *(pa.field(name, pa.int64()) for name in counts),
            nats("log_likelihood", tokens="num_tokens"),
            *rates,
            pa.field("is_greedy", pa.bool_()),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query: the context with the continuation, asked at the continuation's tokens.

        Args:
          context: of the model.
          record: with the continuation as text and the context in `meta`.

        Raises:
          ScoreError: if there is no context or nothing of the continuation, or if both are too long.
        """
        if self.context not in record.meta:
            there = ", ".join(map(repr, record.meta)) or "none"
            raise ScoreError(f"no context {self.context!r} beside the text; what is there: {there}")
        before, continuation = split_text(record.meta[self.context], record.text)
        whole = context.encode(before + continuation)
        check_unknown(context, before + continuation, whole, self.unknown)
        own = len(context.encode(before)) if before else 0
        if len(whole) <= own:
            raise ScoreError("nothing of the continuation is left behind the context's tokens")
        is_opened = self.bos == "document" or (self.bos == "empty" and not own)
        opening = opening_ids(context) if is_opened else ()
        stream = np.concatenate([opening, whole])
        known = own + len(opening)
        if not known:
            raise ScoreError(
                "nothing is before the continuation's first token: use bos='document' or 'empty'"
            )
        cut = max(len(stream) - 1 - context.longest, 0)
        num_kept = 0 if self.long == "last" else len(opening)
        most = known - max(num_kept, 1)
        if cut and (self.long == "error" or cut > most):
            raise ScoreError(
                f"{len(stream) - 1} tokens are read at once, and at most {context.longest} can be"
                + ("; long='left' would cut the context" if cut <= most and self.long == "error" else "")
            )
        stream = np.concatenate([stream[:num_kept], stream[num_kept + cut :]]).astype(np.int32)
        known -= cut
        read, targets = stream[:-1], stream[known:]
        places = np.arange(known - 1, len(read), dtype=np.int32)
        return Round(ContinuationState(continuation, own, cut), [Query(read, places, targets, context=known)])

    def advance(self, state: ContinuationState, answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the row of a continuation.

        Args:
          state: of the continuation.
          answers: to its query.
        """
        (scores,) = answers
        total = float(scores.log_probs.sum(dtype=np.float64))
        num_tokens, num_bytes = len(scores.log_probs), len(state.continuation.encode())
        return {
            "num_context_tokens": state.num_context,
            "num_tokens": num_tokens,
            "num_bytes": num_bytes,
            "num_cut": state.num_cut,
            "log_likelihood": total,
            "log_likelihood_per_token": total / num_tokens,
            "log_likelihood_per_byte": total / num_bytes,
            "is_greedy": bool(np.all(scores.ranks == 0)),
        }


def split_text(context: str, continuation: str) -> tuple[str, str]:
    """Returns context and continuation, with white space at the context's end moved to the continuation.

    Tokens include the space in front of a word: at the end of the context it would be a token of its own.

    Args:
      context: the text before the continuation.
      continuation: the text that is scored.

    Example:
      >>> from jaxlm.scoring.measures._conditional import split_text
      >>> split_text("The answer: ", "yes")
      ('The answer:', ' yes')
    """
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation
