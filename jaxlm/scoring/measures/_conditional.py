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
    """`log p(continuation | context)` in nats, and whether greedy decoding writes the continuation.

    The record's text is the continuation, and its `meta` holds the context. White space at the end of the
    context moves to the continuation; then both are encoded as one text. The context alone is encoded, too;
    if it has n ids, the continuation's ids are those of the whole text from the n-th on, counted from 0. A
    context that many continuations share is read once.

    Attributes:
      context: the name of the context in `Record.meta`.
      bos: what is read before the context. "document": the tokens that open a text, such as [CLS] or BOS;
        "none": nothing; "empty": the opening tokens if the context is empty, else nothing; "auto": "document"
        if texts usually begin with such tokens for this model, else "none". "window" is refused.
      long: what happens if context and continuation together are longer than the model reads: "error" refuses
        the document; "left" cuts the beginning of the context and keeps the opening token; "last" cuts the
        opening token first. The column `num_cut` counts the tokens that are cut.
      unknown: what happens with a symbol that the vocabulary cannot write: "error" refuses the document;
        "score" scores the unknown token in its place like any other token.

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
        """Returns the measure with "auto" in `bos` replaced by the value that it stands for with this model.

        Raises:
          ScoreError: if `bos` is "window", or asks for an opening token that the tokenizer does not have.
        """
        if self.bos == "window":
            raise ScoreError("bos='window' is for documents in windows: use 'document', 'empty' or 'none'")
        if self.bos == "empty":
            opening_ids(context)
            return self
        return dataclasses.replace(self, bos=resolve_bos(self.bos, context))

    def forward(self, context: Context) -> LogProbForward:
        """Returns a forward for log-probabilities and ranks, in which queries share their contexts."""
        return LogProbForward(details=True, shared_contexts=True)

    @property
    def fields(self) -> tuple[str, ...]:
        """The name in `Record.meta` under which a record holds the context."""
        return (self.context,)

    def remark(self, context: Context, asked: "Conditional") -> str:
        """Returns a warning that no token opens texts; "" if one does, or if the user chose to have none."""
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
        """Returns one query: the context with the continuation, whose tokens the model is asked about.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
          record: a document with the continuation as its text and the context in its `meta`.

        Raises:
          ScoreError: if the record has no context, if no token of the continuation can be scored, or if
            context and continuation are too long.
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
        """Returns the row of a continuation: its values by column.

        Args:
          state: what `start` kept about the continuation.
          answers: the answer to the one query of the continuation.
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
