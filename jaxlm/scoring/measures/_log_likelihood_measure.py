"""The log-likelihood of whole documents under a causal model, long ones in windows."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.errors import JaxlmError
from jaxlm.scoring.engine import (
    LogProbForward,
    Query,
    QueryBlock,
    QueryScores,
    joined_scores,
    run_indices,
    scores_between,
    starts_of,
)
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
from jaxlm.scoring.measures._text_numbers import count_words_of, text_columns, text_numbers
from jaxlm.scoring.measures._token_rows import check_top_k_fits, token_columns, token_rows
from jaxlm.scoring.measures._unknown import UnknownPolicy, check_unknown
from jaxlm.scoring.measures._windows import LongPolicy, windows
from jaxlm.scoring.measures._words import word_columns, word_rows, word_rule

UNRESOLVED = "the measure has not been resolved for a model"


class DocumentState(NamedTuple):
    """What the row of a document needs in addition to its scores.

    Attributes:
      context: the model that is asked, with its tokenizer and its limits.
      record: the document.
      tokens: `Int[n]` its ids.
      is_opened: whether something is read before the text, so that its first token is predicted.
      closing: the ids behind the text that are predicted, too.
    """

    context: Context
    record: data.Record
    tokens: np.ndarray
    is_opened: bool
    closing: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogLikelihood(Measure):
    """`log p(text)`: the sum over a text's tokens of log p(token | the tokens before it), in nats.

    A text with more tokens than the model reads at once is read in overlapping windows of W tokens, and each
    token is predicted in one of them. The measure makes one row of values for each text.

    Attributes:
      bos: what is read before the text. "document": the tokens that open a text, such as BOS, before its
        first token; "window": these tokens before each of its windows; "none": nothing, so that the first
        token is not scored; "auto": "document" if texts usually begin with such tokens for this model, else
        "none".
      eos: whether the closing token (EOS) is scored behind the text, as its last token. `num_scored`, the
        log-likelihood, and the perplexities and bits that are made of it then include EOS.
      long: what happens to texts that are longer than a window: "window" splits them, "error" refuses them.
      window: W, the number of tokens that the model reads at once; None: the largest number that the model
        and the engine's batches allow.
      context: c, the smallest number of tokens that every window after the first reads before its first
        prediction; None: half a window.
      stride: the largest number of new tokens that every window after the first predicts, `W - c + 1`: the
        first c of its tokens are context, and its last token predicts one token that lies behind the window.
        It is given instead of `context`; None: it follows from `context`.
      unknown: what happens with a symbol that the vocabulary cannot write: "error" refuses the text; "score"
        scores the unknown token in its place like any other token.
      tokens: whether the row of a text has lists with one entry per token: ids, strings, offsets and scores.
      words: whether the row of a text has lists of its words and their surprisals. Tokens that begin with a
        space tell only at the next word that a word has ended. So each surprisal is corrected at the word's
        end: the probability that a word ends behind its last token counts for this word and not for the next
        one (see `Score`).
      top_k: how many of the likeliest ids are listed for each token, if `tokens` is True; 0: none.

    Raises:
      ScoreError: if both `context` and `stride` are given, or `top_k` without `tokens`, or an option has no
        such value.

    Example:
      >>> from jaxlm.scoring import LogLikelihood
      >>> LogLikelihood(window=512, stride=256, tokens=True, top_k=3).options()["stride"]
      256
    """

    name: ClassVar[str] = "log-likelihood"
    questions: ClassVar[tuple[Question, ...]] = ("next_token",)
    reads_blocks: ClassVar[bool] = True

    bos: BosPolicy = "auto"
    eos: bool = False
    long: LongPolicy = "window"
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
        """Returns the measure with `bos`, `window` and `context` filled in; its `stride` is None.

        Raises:
          ScoreError: if the window or its context is out of range, or the tokenizer lacks a token that `bos`,
            `eos` or `words` needs.
        """
        window = context.longest if self.window is None else self.window
        if window > context.longest:
            raise ScoreError(f"window: this model in these rows reads up to {context.longest}: got {window}")
        least = self.context if self.context is not None else max(window // 2, 1)
        least = window - self.stride + 1 if self.stride is not None else least
        if not 1 <= least <= window:
            raise ScoreError(f"context: expected 1 to the window's {window} tokens, got {least}")
        check_top_k_fits(self.top_k, context.vocab_size)
        if self.eos:
            closing_id(context)
        if self.words:
            word_rule(context)
        bos = resolve_bos(self.bos, context)
        opening = () if bos == "none" else opening_ids(context)
        if len(opening) > window:
            raise ScoreError(
                f"window: {len(opening)} tokens open a text, and a window of {window} does not hold them"
            )
        return dataclasses.replace(self, bos=bos, window=window, context=least, stride=None)

    def forward(self, context: Context) -> LogProbForward:
        """Returns a forward for log-probabilities and for the numbers that lists of tokens and words need."""
        sets = None
        if self.words:
            sets = word_rule(context).sets
        return LogProbForward(details=self.tokens, top_k=self.top_k, sets=sets)

    def remark(self, context: Context, asked: "LogLikelihood") -> str:
        """Returns a warning that no token opens texts; "" if one does, or if the user chose to have none."""
        return unopened_remark(context, asked.bos, self.bos)

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the counts, the log-likelihood and its rates, and the lists of tokens and words."""
        lists = token_columns(self.top_k) if self.tokens else []
        return [*text_columns("log_likelihood"), *lists, *(word_columns() if self.words else [])]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query for each window of a document.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
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
        if self.long == "error" and len(stream) - 1 > self._window:
            raise ScoreError(f"{len(stream) - 1} tokens are read, and a window holds {self._window}")
        given = max(len(opening), 1)
        queries = self._windows(stream, given)
        if self.words and not self.eos:
            queries = self._ended(context, stream, queries, given)
        return Round(DocumentState(context, record, tokens, bool(opening), closing), queries)

    def start_block(
        self, context: Context, records: Sequence[data.Record]
    ) -> Sequence[DocumentBlock | data.Record]:
        """Returns the queries of many documents; documents that fit into one window are joined into blocks.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
          records: consecutive documents.
        """
        if self.words:
            return records
        ends = self._ends(context)
        tokens = self._plain_tokens(context, records, sum(map(len, ends)))
        parts: list[DocumentBlock | data.Record] = []
        states: list[DocumentState] = []
        for record, own in zip(records, tokens, strict=True):
            if own is None:
                parts += [*self._whole_documents(states, ends), record]
                states = []
            else:
                states.append(DocumentState(context, record, own, bool(ends[0]), ends[1]))
        return [*parts, *self._whole_documents(states, ends)]

    def _ends(self, context: Context) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that are read before a text and behind it."""
        opening = opening_ids(context) if self.bos != "none" else ()
        return opening, (closing_id(context),) if self.eos else ()

    def _plain_tokens(
        self, context: Context, records: Sequence[data.Record], num_ends: int
    ) -> list[np.ndarray | None]:
        """The ids of each document that fits a window and is no special case; None for the others."""
        tokens = [self._fitting_tokens(context, record, num_ends) for record in records]
        unk = context.tokenizer.specials.unk
        known = [own for own in tokens if own is not None]
        # Few blocks have an unknown token: one look at all ids tells.
        if self.unknown == "error" and unk is not None and known and (np.concatenate(known) == unk).any():
            return [None if own is None or (own == unk).any() else own for own in tokens]
        return tokens

    def _fitting_tokens(self, context: Context, record: data.Record, num_ends: int) -> np.ndarray | None:
        """The ids of a document that is read in one window; else None."""
        try:
            tokens = context.encode(record.text)
        except JaxlmError:
            return None
        fits = len(tokens) and 2 <= len(tokens) + num_ends <= self._window + 1
        return tokens if fits else None

    def _whole_documents(
        self, states: Sequence[DocumentState], ends: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> list[DocumentBlock]:
        """A block of documents that are read whole, one query each; none where there are no documents."""
        if not states:
            return []
        opening, closing = (np.array(ids, np.int32) for ids in ends)
        # The last token of a document is predicted and not read, the given ones are read and not predicted.
        last, first = None if len(closing) else -1, 0 if len(opening) else 1
        read = [part for state in states for part in (opening, state.tokens[:last], closing[:-1])]
        predicted = [part for state in states for part in (state.tokens[first:], closing)]
        given = max(len(opening), 1)
        lengths = np.array([len(state.tokens) for state in states]) + len(opening) + len(closing)
        queries = QueryBlock(
            np.concatenate(read, dtype=np.int32),
            starts_of(lengths - 1),
            run_indices(np.full(len(states), given - 1), lengths - given).astype(np.int32),
            np.concatenate(predicted, dtype=np.int32),
            starts_of(lengths - given),
            np.zeros(len(states), np.int64),
        )
        return [DocumentBlock(states, [1] * len(states), queries)]

    @property
    def _window(self) -> int:
        """The window of a measure whose options have been filled in."""
        if self.window is None:
            raise AssertionError(UNRESOLVED)
        return self.window

    def _windows(self, stream: np.ndarray, given: int) -> list[Query]:
        """A query for each window of a stream, of which the first `given` tokens are not predicted."""
        if self.context is None:
            raise AssertionError(UNRESOLVED)
        length, queries = self._window, []
        offsets = np.arange(length, dtype=np.int32)
        for window in windows(len(stream), length, self.context, given=given, opened=self.bos == "window"):
            read = stream[window.start : window.end]
            if window.opened:
                read = np.concatenate([stream[:given], read])
            targets = stream[window.first : window.end + 1]
            queries.append(Query(read, offsets[len(read) - len(targets) : len(read)], targets))
        return queries

    def _ended(self, context: Context, stream: np.ndarray, queries: list[Query], given: int) -> list[Query]:
        """The queries, with one more place behind the text: what may end its last word is read there.

        No other place of the queries moves.
        """
        last, window = queries[-1], self._window
        # Dynamic scaling changes every position with the length that is read: the last query then stays as it
        # is.
        if len(last.tokens) < window and not context.config.is_dynamic:
            read = np.append(last.tokens, stream[-1:])
            scored = np.append(last.scored, np.int32(len(read) - 1))
            targets = np.append(last.targets, np.int32(0))
            return [*queries[:-1], last._replace(tokens=read, scored=scored, targets=targets)]
        read = stream[-window:]
        if self.bos == "window" and len(stream) > window > given:
            read = np.concatenate([stream[:given], stream[given - window :]])
        return [*queries, Query(read, np.array([len(read) - 1], np.int32), np.zeros(1, np.int32))]

    def advance(self, state: DocumentState, answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the row of a document: its values by column.

        Args:
          state: what `start` kept about the document.
          answers: one answer for each window of the document, in order.
        """
        return self._row(state, joined_scores(answers))

    def advance_block(
        self, states: Sequence[DocumentState], answers: QueryScores, starts: Sequence[int]
    ) -> list[ScoreRow]:
        """Returns the rows of consecutive documents, one row for each.

        Args:
          states: what was kept about each document when its queries were made.
          answers: the answers to the windows of all documents, joined into one.
          starts: for each document the index in `answers` at which its answers begin, and one more entry for
            where the last document's answers end.
        """
        bounds = itertools.pairwise(starts)
        words = count_words_of([state.record.text for state in states])
        return [
            self._row(state, scores_between(answers, start, end), num_words)
            for state, (start, end), num_words in zip(states, bounds, words, strict=True)
        ]

    def _row(self, state: DocumentState, scores: QueryScores, num_words: int | None = None) -> ScoreRow:
        asked = len(state.tokens) + self.eos - (not state.is_opened)
        if len(scores.log_probs) != asked + (self.words and not self.eos):
            raise AssertionError(f"{asked} tokens to predict, {len(scores.log_probs)} predicted")
        own = scores
        if self.words and not self.eos:
            own = scores_between(scores, 0, asked)
        text, num_tokens = state.record.text, len(state.tokens)
        log_probs = np.asarray(own.log_probs)
        row = text_numbers(
            text, "log_likelihood", log_probs, num_tokens, is_whole=state.is_opened, num_words=num_words
        )
        if self.tokens:
            row |= token_rows(state.context.tokenizer, text, state.tokens, own, closing=state.closing)
        if self.words:
            row |= word_rows(state.context, text, state.tokens, scores)
        return row
