"""Step functions at every token of a corpus: one number about the model's prediction for each.

Letters: `n` tokens of a text, `m` of them that are predicted.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data, steps, tokenizers
from jaxlm.errors import JaxlmError
from jaxlm.scoring.engine import Query, QueryContrast, StepForward
from jaxlm.scoring.measures._log_likelihood_measure import LogLikelihood
from jaxlm.scoring.measures._masked_checks import mask_id_of
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow
from jaxlm.scoring.measures._openings import BosPolicy, masked_frame, unopened_remark
from jaxlm.scoring.measures._step_columns import STEP_COUNTS, check_step_functions, step_column
from jaxlm.scoring.measures._token_rows import place_columns, token_places
from jaxlm.scoring.measures._unknown import UnknownPolicy, check_unknown
from jaxlm.scoring.measures._windows import LongPolicy


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepScores(Measure):
    """Step functions at every predicted token, and one number for each text.

    A step function (see `jaxlm.steps`) makes one number from a prediction, such as its entropy. A causal
    model predicts every token that has a token before it; a masked model predicts the tokens at the masks
    that are written in the text, where no function may read the true token. Each function has a column with
    its name, such as `top_p_size(top_p=0.9)`. The column holds one number for each text: the sum of the
    values, their product, or the one of the largest magnitude, whichever `StepFunction.span` names. The
    values of single tokens are in lists, in a column with `token_` before the function's name.

    Attributes:
      functions: the functions that are computed, in the notation of `steps.parse_step_function`: "entropy",
        "top_p_size=0.9", "kl_divergence(top_k=20)". Functions that draw random numbers, such as those under
        dropout, are computed by `steps.step_scores` only.
      contrast: the field of `Record.meta` (the column of a corpus) with the text that functions compare with;
        None: no function compares with another text.
      alignment: which token is compared with which token of the contrast (see `steps.align`): "one_to_one" or
        "last_common". Tokens without a counterpart have the value null, and are left out of the text's
        number.
      bos: what a causal model reads before a text. "document": the tokens that open a text, before its first
        token; "window": these tokens before each of its windows; "none": nothing; "auto": "document" if texts
        usually begin with such tokens for this model, else "none".
      long: what happens to texts that are longer than a window: "window" predicts each token in one window,
        "error" refuses them. Texts that are compared, and texts with masks, must fit into one window.
      window: the number of tokens that a causal model reads at once. None: the most that the model and the
        engine's batches allow.
      context: the number of tokens that every window after the first reads again before its first prediction,
        at least. None: half a window.
      unknown: what happens with a symbol that the vocabulary cannot write: "error" refuses the text; "score"
        scores the unknown token in its place like any other token.
      tokens: whether a row has lists with one entry per token: ids, strings, offsets and values.

    Example:
      >>> from jaxlm.scoring import StepScores
      >>> StepScores(functions=("entropy", "top_p_size=0.9")).options()["functions"]
      ('entropy', 'top_p_size=0.9')
    """

    name: ClassVar[str] = "step-scores"
    questions: ClassVar[tuple[Question, ...]] = ("next_token", "fill")

    functions: tuple[str, ...] = ()
    contrast: str | None = None
    alignment: Literal["one_to_one", "last_common"] = "one_to_one"
    bos: BosPolicy = "auto"
    long: LongPolicy = "window"
    window: int | None = None
    context: int | None = None
    unknown: UnknownPolicy = "error"
    tokens: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        steps.check_alignment(self.alignment)

    def resolved(self, context: Context) -> "StepScores":
        """Returns the measure with its functions' full names, and `bos`, `window` and `context` filled in."""
        rows = self._rows
        check_step_functions(rows, context, self.contrast)
        filled = dataclasses.replace(self, functions=tuple(row.name for row in rows))
        if context.kind.fill:
            mask_id_of(context, self.name)
            return filled
        reader = self._reader.resolved(context)
        return dataclasses.replace(filled, bos=reader.bos, window=reader.window, context=reader.context)

    def forward(self, context: Context) -> StepForward:
        """Returns a forward for the step functions, with contrasts if one of the functions compares."""
        del context
        return StepForward(functions=self._rows, contrasts=self.contrast is not None)

    @property
    def fields(self) -> tuple[str, ...]:
        """The field of `Record.meta` with the text to compare with, if one is named."""
        return () if self.contrast is None else (self.contrast,)

    def remark(self, context: Context, asked: "StepScores") -> str:
        """Returns a warning that no token opens texts; "" if one does, or if the user chose to have none."""
        return "" if context.kind.fill else unopened_remark(context, asked.bos, self.bos)

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns the text, and the text that it is compared with."""
        other = record.meta.get(self.contrast) if self.contrast is not None else None
        return (record.text, other) if isinstance(other, str) else (record.text,)

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, a column for each function, and the lists of tokens."""
        del context
        counts = [pa.field(name, pa.int64()) for name in STEP_COUNTS]
        return [*counts, *(step_column(row) for row in self._rows), *(self._lists() if self.tokens else [])]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns the queries of a text, each with its contrast if the text is compared with another."""
        reading = self._reading(context, record.text)
        state = _StepState(context.tokenizer, record.text, reading, None, None)
        if self.contrast is None:
            return Round(state, reading.queries)
        query = _whole(reading, "a text that is compared with another")
        other = _whole(self._contrast(context, record), "a contrast")
        pair = query.targets, other.targets
        own, others = ([context.tokenizer.token(id) for id in ids.tolist()] for ids in pair)
        partners = steps.align(self.alignment, *pair, strings=(own, others))
        # A place without a partner is compared with the contrast's first place; `advance` drops the value.
        chosen = np.maximum(partners, 0)
        contrast = QueryContrast(other.tokens, other.scored[chosen], other.targets[chosen])
        state = state._replace(partners=partners, contrast_targets=contrast.targets)
        return Round(state, [query._replace(contrast=contrast)])

    def advance(self, state: "_StepState", answers: Sequence[tuple[np.ndarray, ...]]) -> ScoreRow:
        """Returns the row of a text: one number for each function, and the lists of tokens."""
        partners = state.partners
        reading, num = state.reading, len(state.reading.tokens)
        values = [np.concatenate(parts) for parts in zip(*answers, strict=True)]
        row: ScoreRow = {"num_tokens": num, "num_scored": len(values[0])}
        lists: ScoreRow = {}
        for function, numbers in zip(self._rows, values, strict=True):
            if function.needs_contrast and partners is not None:
                numbers = np.where(partners < 0, np.float32(np.nan), numbers)
            row[function.name] = _known(steps.over_span(numbers, function.span))
            lists[f"token_{function.name}"] = _listed(reading, map(_known, numbers.tolist()))
        if self.tokens:
            row |= token_places(state.tokenizer, state.text, reading.tokens) | lists
            if partners is not None:
                ids = np.where(partners < 0, -1, state.contrast_targets).tolist()
                row["token_contrast_ids"] = _listed(reading, (id if id >= 0 else None for id in ids))
        return row

    @functools.cached_property
    def _rows(self) -> tuple[steps.StepFunction, ...]:
        return tuple(map(steps.parse_step_function, self.functions))

    @functools.cached_property
    def _reader(self) -> LogLikelihood:
        """How a causal model reads texts."""
        return LogLikelihood(
            bos=self.bos, long=self.long, window=self.window, context=self.context, unknown=self.unknown
        )

    def _lists(self) -> list[pa.Field]:
        contrast = [pa.field("token_contrast_ids", pa.list_(pa.int32()))] if self.contrast is not None else []
        values = [step_column(row, "token_", pa.list_(pa.float32())) for row in self._rows]
        return [*place_columns(), *values, *contrast]

    def _contrast(self, context: Context, record: data.Record) -> "_StepText":
        if self.contrast not in record.meta:
            there = ", ".join(map(repr, record.meta)) or "none"
            raise ScoreError(f"no contrast {self.contrast!r} beside the text; what is there: {there}")
        text = record.meta[self.contrast]
        if not isinstance(text, str):
            raise ScoreError(f"contrast {self.contrast!r}: expected a text, got {text!r:.60}")
        try:
            return self._reading(context, text)
        except JaxlmError as error:
            raise ScoreError(f"contrast: {error}") from error

    def _reading(self, context: Context, text: str) -> "_StepText":
        if context.kind.fill:
            return _at_masks(context, text, self.unknown)
        state, queries = self._reader.start(context, data.Record("", text, {}))
        num = len(state.tokens)
        asked = sum(len(query.targets) for query in queries)
        return _StepText(state.tokens, np.arange(num - asked, num), queries)


class _StepText(NamedTuple):
    """How a model reads a text.

    Attributes:
      tokens: `Int[n]` its ids.
      predicted: `Int[m]` the indices of those that are predicted.
      queries: the queries that predict them.
    """

    tokens: np.ndarray
    predicted: np.ndarray
    queries: Sequence[Query]


class _StepState(NamedTuple):
    """What the row of a text needs in addition to its values.

    Attributes:
      tokenizer: the model's tokenizer.
      text: the text.
      reading: how the model reads it.
      partners: `Int[m]` the contrast's token that each predicted token is compared with, -1: none; None: the
        text is not compared.
      contrast_targets: `Int[m]` the ids of these tokens; None: the text is not compared.
    """

    tokenizer: tokenizers.Tokenizer
    text: str
    reading: _StepText
    partners: np.ndarray | None
    contrast_targets: np.ndarray | None


def _at_masks(context: Context, text: str, unknown: UnknownPolicy) -> _StepText:
    """A text with masks: what is predicted is at the masks."""
    tokens = context.encode(text)
    check_unknown(context, text, tokens, unknown)
    mask = mask_id_of(context, StepScores.name)
    predicted = np.flatnonzero(tokens == mask)
    if not predicted.size:
        name = context.tokenizer.token(mask)
        raise ScoreError(f"a masked model predicts at {name}, and there is none in the text")
    opening, closing = masked_frame(context, None)
    read = np.concatenate([opening, tokens, closing]).astype(np.int32)
    places = (predicted + len(opening)).astype(np.int32)
    return _StepText(tokens, predicted, [Query(read, places, tokens[predicted].astype(np.int32))])


def _whole(reading: _StepText, what: str) -> Query:
    if len(reading.queries) > 1:
        longest = max(len(query.tokens) for query in reading.queries)
        raise ScoreError(
            f"{what} is read at once: {len(reading.tokens)} tokens, and a window holds {longest}"
        )
    return reading.queries[0]


def _listed(reading: _StepText, values: Any) -> list[Any]:
    """A list with an entry a token, None where nothing is predicted."""
    entries: list[Any] = [None] * len(reading.tokens)
    for place, value in zip(reading.predicted.tolist(), values, strict=True):
        entries[place] = value
    return entries


def _known(value: float) -> float | None:
    return None if value != value else value
