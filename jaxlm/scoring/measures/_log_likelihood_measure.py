"""The log-likelihood of whole documents under a causal model, long ones in windows."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.errors import JaxlmError
from jaxlm.scoring.engine import LogProbForward, Query, QueryBlock, QueryScores, starts_of
from jaxlm.scoring.measures._measure import (
    Context,
    DocumentBlock,
    Measure,
    Question,
    Round,
    ScoreError,
    ScoreRow,
)
from jaxlm.scoring.measures._openings import BosPolicy, closing_id, opening_ids, resolve_bos, unopened_remark
from jaxlm.scoring.measures._text_numbers import text_columns, text_numbers
from jaxlm.scoring.measures._token_rows import check_top_k_fits, token_columns, token_rows
from jaxlm.scoring.measures._unknown import UnknownPolicy, check_unknown
from jaxlm.scoring.measures._windows import Long, windows
from jaxlm.scoring.measures._words import word_columns, word_rows, word_rule


class DocumentState(NamedTuple):
    """What a document's row needs beside scores."""

    context: Context
    record: data.Record
    tokens: np.ndarray
    is_opened: bool
    closing: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogLikelihood(Measure):
    """`log p(text)`: the sum over its tokens of log p(token | what is before it), in nats.

    Attributes:
      bos: what stands before the text; see `resolve_bos`.
      eos: whether the closing token is predicted after the last one, and counted: `num_scored` and all rates
        then include it.
      long: what becomes of texts that are longer than a window: "window" or "error".
      window: W, tokens that are read at once; None: as many as rows hold and the model reads.
      context: c, the least that is read before a later window's first prediction; None: half a window.
      stride: `W - c + 1`, the most that a later window predicts, to be given in the place of `context`.
      unknown: what the vocabulary cannot write is an "error", or "score" its token like others.
      tokens: whether a row holds lists of its tokens: ids, strings, places and numbers.
      words: whether it holds lists of its words and their surprisals, each corrected at the word's end: the
        probability that a word ends is its own and not the next one's; see `Score` and `word_log_probs`.
      top_k: likeliest ids that `tokens` lists for each token.

    Example:
      >>> LogLikelihood(window=4, stride=2).options()["stride"]
      2
    """

    name: ClassVar[str] = "log-likelihood"
    questions: ClassVar[tuple[Question, ...]] = ("next_token",)
    reads_blocks: ClassVar[bool] = True

    bos: BosPolicy = "auto"
    eos: bool = False
    long: Long = "window"
    window: int | None = None
    context: int | None = None
    stride: int | None = None
    unknown: UnknownPolicy = "error"
    tokens: bool = False
    words: bool = False
    top_k: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context is not None and self.stride is not None:
            raise ScoreError("context and stride say the same, stride = window - context + 1: give one")
        if self.top_k and not self.tokens:
            raise ScoreError("top_k lists ids for each token: ask for tokens too")

    def resolved(self, context: Context) -> "LogLikelihood":
        window = context.longest if self.window is None else self.window
        if window > context.longest:
            raise ScoreError(f"window: this model in these rows reads up to {context.longest}: got {window}")
        least = self.context if self.context is not None else max(window // 2, 1)
        least = window - self.stride + 1 if self.stride is not None else least
        if not 1 <= least <= window:
            raise ScoreError(f"context: expected 1 to the window's {window} tokens, got {least}")
        check_top_k_fits(self.top_k, context.config.vocab_size)
        if self.eos:
            closing_id(context)
        if self.words:
            word_rule(context)
        bos = resolve_bos(self.bos, context)
        opening = () if bos == "none" else opening_ids(context)
        if len(opening) > window:
            raise ScoreError(f"window: what opens a text has {len(opening)} tokens, got room for {window}")
        return dataclasses.replace(self, bos=bos, window=window, context=least, stride=None)

    def forward(self, context: Context) -> LogProbForward:
        sets = None
        if self.words:
            sets = word_rule(context).sets
        return LogProbForward(details=self.tokens, top_k=self.top_k, sets=sets)

    def remark(self, context: Context, asked: "LogLikelihood") -> str:
        return unopened_remark(context, asked.bos, self.bos)

    def columns(self, context: Context) -> list[pa.Field]:
        lists = token_columns(self.top_k) if self.tokens else []
        return [*text_columns("log_likelihood"), *lists, *(word_columns() if self.words else [])]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns the windows of a document.

        Args:
          context: of the model.
          record: the document.

        Raises:
          ScoreError: if the document is empty or too long, or has a symbol that the vocabulary cannot write.
        """
        tokens = context.encode(record.text)
        check_unknown(context, record.text, tokens, self.unknown)
        opening, closing = self._ends(context)
        stream = np.concatenate([opening, tokens, closing]).astype(np.int32)
        if len(tokens) == 0:
            raise ScoreError("no tokens: the text is empty")
        if len(stream) < 2:
            raise ScoreError("one token, and nothing before it that predicts it: use bos='document'")
        if self.long == "error" and len(stream) - 1 > self.window:
            raise ScoreError(f"{len(stream) - 1} tokens are read, and a window holds {self.window}")
        given = max(len(opening), 1)
        pieces = self._windows(stream, given)
        if self.words and not self.eos:
            pieces = self._ended(context, stream, pieces, given)
        return Round(DocumentState(context, record, tokens, bool(opening), closing), pieces)

    def start_block(
        self, context: Context, records: Sequence[data.Record]
    ) -> Sequence[DocumentBlock | data.Record]:
        """Returns what documents ask: those that fit a window, and are no special case, as blocks.

        Args:
          context: of the model.
          records: consecutive documents.
        """
        if self.words:
            return records
        ends = self._ends(context)
        parts: list[DocumentBlock | data.Record] = []
        states: list[DocumentState] = []
        for record in records:
            tokens = self._plain_tokens(context, record, sum(map(len, ends)))
            if tokens is None:
                parts += [*self._whole_documents(states, ends), record]
                states = []
            else:
                states.append(DocumentState(context, record, tokens, bool(ends[0]), ends[1]))
        return [*parts, *self._whole_documents(states, ends)]

    def _ends(self, context: Context) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that are read before a text and behind it."""
        opening = opening_ids(context) if self.bos != "none" else ()
        return opening, (closing_id(context),) if self.eos else ()

    def _plain_tokens(self, context: Context, record: data.Record, num_ends: int) -> np.ndarray | None:
        """The ids of a document that fits a window and is no special case; else None."""
        try:
            tokens = context.encode(record.text)
        except JaxlmError:
            return None
        if len(tokens) == 0 or not 2 <= len(tokens) + num_ends <= self._window + 1:
            return None
        unk = context.tokenizer.specials.unk
        if self.unknown == "error" and unk is not None and (tokens == unk).any():
            return None
        return tokens

    def _whole_documents(
        self, states: Sequence[DocumentState], ends: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> list[DocumentBlock]:
        """A block of documents that are read whole, one query each; none where there are no documents."""
        if not states:
            return []
        opening, closing = (np.array(ids, np.int32) for ids in ends)
        streams = np.concatenate([part for state in states for part in (opening, state.tokens, closing)])
        lengths = np.array([len(state.tokens) for state in states]) + len(opening) + len(closing)
        starts = starts_of(lengths)
        offsets = np.arange(len(streams)) - np.repeat(starts[:-1], lengths)
        # The last token of a document is predicted and not read, the given ones are read and not predicted.
        given = max(len(opening), 1)
        is_read, is_predicted = np.ones(len(streams), bool), offsets >= given
        is_read[starts[1:] - 1] = False
        queries = QueryBlock(
            streams[is_read].astype(np.int32, copy=False),
            starts_of(lengths - 1),
            (offsets[is_predicted] - 1).astype(np.int32),
            streams[is_predicted].astype(np.int32, copy=False),
            starts_of(lengths - given),
            np.zeros(len(states), np.int64),
        )
        return [DocumentBlock(states, [1] * len(states), queries)]

    @property
    def _window(self) -> int:
        """The window of a measure whose options have been filled in."""
        if self.window is None:
            raise AssertionError("the measure has not been resolved for a model")
        return self.window

    def _windows(self, stream: np.ndarray, given: int) -> list[Query]:
        pieces, places = [], np.arange(self.window, dtype=np.int32)
        cut = windows(len(stream), self.window, self.context, given=given, opened=self.bos == "window")
        for window in cut:
            read = stream[window.start : window.end]
            if window.opened:
                read = np.concatenate([stream[:given], read])
            targets = stream[window.first : window.end + 1]
            pieces.append(Query(read, places[len(read) - len(targets) : len(read)], targets))
        return pieces

    def _ended(self, context: Context, stream: np.ndarray, pieces: list[Query], given: int) -> list[Query]:
        """Asks behind a text, too, for the mass of what may end its last word; no other question moves."""
        last = pieces[-1]
        # Dynamic scaling turns every place by the length that is read: there the last piece stays as it is.
        if len(last.tokens) < self.window and not context.config.is_dynamic:
            read = np.append(last.tokens, stream[-1:])
            scored = np.append(last.scored, np.int32(len(read) - 1))
            targets = np.append(last.targets, np.int32(0))
            return [*pieces[:-1], last._replace(tokens=read, scored=scored, targets=targets)]
        read = stream[-self.window :]
        if self.bos == "window" and len(stream) > self.window > given:
            read = np.concatenate([stream[:given], stream[given - self.window :]])
        return [*pieces, Query(read, np.array([len(read) - 1], np.int32), np.zeros(1, np.int32))]

    def advance(self, state: DocumentState, answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the row of a document.

        Args:
          state: of the document.
          answers: to its windows, in order.
        """
        joined = (None if parts[0] is None else np.concatenate(parts) for parts in zip(*answers, strict=True))
        return self._row(state, QueryScores(*joined))

    def advance_block(
        self, states: Sequence[DocumentState], answers: QueryScores, starts: Sequence[int]
    ) -> list[ScoreRow]:
        """Returns the rows of consecutive documents.

        Args:
          states: of the documents.
          answers: to the windows of all of them, as one.
          starts: where the answers of each document begin; last, where they end.
        """
        rows = []
        for state, (start, end) in zip(states, itertools.pairwise(starts), strict=True):
            own = (None if values is None else values[start:end] for values in answers)
            rows.append(self._row(state, QueryScores(*own)))
        return rows

    def _row(self, state: DocumentState, scores: QueryScores) -> ScoreRow:
        asked = len(state.tokens) + self.eos - (not state.is_opened)
        if len(scores.log_probs) != asked + (self.words and not self.eos):
            raise AssertionError(f"{asked} tokens to predict, {len(scores.log_probs)} predicted")
        own = scores
        if self.words and not self.eos:
            own = QueryScores(*(None if values is None else values[:asked] for values in scores))
        text, num_tokens = state.record.text, len(state.tokens)
        row = text_numbers(text, "log_likelihood", own.log_probs, num_tokens, is_whole=state.is_opened)
        if self.tokens:
            row |= token_rows(state.context.tokenizer, text, state.tokens, own, closing=state.closing)
        if self.words:
            row |= word_rows(state.context, text, state.tokens, scores)
        return row
