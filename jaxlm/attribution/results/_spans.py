"""Neighbouring tokens as one: spans that a caller names, and words."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import steps, tokenizers
from jaxlm.attribution.results._aggregation import AnyAttribution, aggregate, with_note
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.attribution.results._words import (
    Convention,
    join_tokens,
    mark_convention,
    token_words,
    tokenizer_words,
)
from jaxlm.errors import UsageError

Spans = Sequence[tuple[int, int]]


def merge_spans(
    result: AnyAttribution,
    spans: Spans = (),
    *,
    source_spans: Spans = (),
    function: str = "absmax",
    merge_predictions: bool = True,
) -> AnyAttribution:
    """Returns an attribution in which each span of neighbouring tokens is one unit.

    The scores of a span are made into one by the named function; NaNs are left out. Explained predictions
    whose tokens fall into one span become one prediction: their scores by the same function, their step
    functions' numbers as each step function combines those of a span (`steps.StepFunction.span`).

    Args:
      result: an attribution.
      spans: pairs (start, stop) of indices in `tokens`; the stop is not included. Other tokens stay alone.
      source_spans: the same for `source_tokens`.
      function: the name of a function of `aggregate`.
      merge_predictions: whether predictions are merged, too. False: only the inputs are.

    Returns:
      A record with a string for each unit; the ids of units of several tokens are -1. The completeness error
      stays only for the function "sum", where no predictions are merged.

    Raises:
      UsageError: if a span is empty, outside of the tokens, or overlaps another, or no function has the name.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, merge_spans
      >>> ids, scores = np.array([5, 6, 7]), np.array([[0.5], [-1.5], [np.nan]], np.float32)
      >>> result = Attribution((" un", "do", "ne"), ids, ids[:1] - 3, ids[2:], ("ne",), scores)
      >>> merged = merge_spans(result, [(0, 2)])
      >>> merged.tokens, merged.scores.tolist(), merged.positions.tolist()
      ((' undo', 'ne'), [[-1.5], [nan]], [1])
    """
    units = _units(spans, len(result.tokens), "tokens")
    source_units = _units(source_spans, len(result.source_tokens or ()), "source tokens")
    groups = _groups(result.positions, units) if merge_predictions else _alone(len(result.positions))
    inputs, sources = _Merge(units, function), _Merge(source_units, function)
    columns = _Merge(groups, function)
    convention = mark_convention(result.tokens)
    source_tokens = result.source_tokens
    starts = np.array([start for start, _ in units], np.int32)
    firsts = np.array([start for start, _ in groups], np.int32)
    positions = result.positions[firsts] if groups else result.positions
    merged = with_note(result, f"spans by {function}")._replace(
        tokens=inputs.strings(result.tokens, convention),
        token_ids=inputs.ids(result.token_ids),
        positions=np.where(
            positions < 0, -1, np.searchsorted(starts, np.maximum(positions, 0), "right") - 1
        ).astype(result.positions.dtype),
        targets=columns.ids(result.targets),
        target_tokens=columns.strings(result.target_tokens, convention),
        scores=columns.scores(inputs.scores(result.scores, 0), 1),
        source_tokens=source_tokens and sources.strings(source_tokens, mark_convention(source_tokens)),
        source_ids=None if result.source_ids is None else sources.ids(result.source_ids),
        source_scores=columns.scores(sources.scores(result.source_scores, 0), 1),
        step_scores={name: _over_groups(own, name, groups) for name, own in result.step_scores.items()},
        contrast_tokens=result.contrast_tokens and columns.strings(result.contrast_tokens, convention),
    )
    return _with_values(merged, result, groups, function)


def merge_words(
    result: AnyAttribution,
    *,
    tokenizer: tokenizers.Tokenizer | None = None,
    target_tokenizer: tokenizers.Tokenizer | None = None,
    function: str = "absmax",
    merge_predictions: bool = True,
) -> AnyAttribution:
    """Returns an attribution with one unit for each word, the last word included.

    Args:
      result: an attribution of tokens.
      tokenizer: the model's tokenizer, by which words are divided as it divides them. None, or where it
        divides no words: by the marks in the tokens' strings (see `token_words`).
      target_tokenizer: the tokenizer of an encoder-decoder's targets, if it is another; None: `tokenizer`.
      function: the name of a function of `aggregate`.
      merge_predictions: whether predictions of one word become one prediction, too.

    Raises:
      UsageError: if no function has the name.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, merge_words
      >>> ids, scores = np.array([5, 6, 7]), np.array([[0.5, 0.25], [np.nan, -1.0], [np.nan, np.nan]])
      >>> tokens = ("To", " be", "lieve")
      >>> result = Attribution(tokens, ids, ids[:2] - 4, ids[1:], tokens[1:], scores)
      >>> words = merge_words(result)
      >>> words.tokens, words.target_tokens, words.scores.tolist()
      (('To', ' believe'), (' believe',), [[0.5], [-1.0]])
    """
    own = _word_spans(result.tokens, result.token_ids, target_tokenizer or tokenizer)
    source: Spans = ()
    if result.source_tokens is not None and result.source_ids is not None:
        source = _word_spans(result.source_tokens, result.source_ids, tokenizer)
    merged = merge_spans(
        result, own, source_spans=source, function=function, merge_predictions=merge_predictions
    )
    return with_note(merged._replace(settings=result.settings), f"words by {function}")


class _Merge(NamedTuple):
    """How neighbours become units: pairs (start, stop) that cover all of them, and a named function."""

    units: Spans
    function: str

    def strings(self, tokens: Sequence[str], convention: Convention) -> tuple[str, ...]:
        return tuple(join_tokens(tokens[start:stop], convention) for start, stop in self.units)

    def ids(self, ids: np.ndarray) -> np.ndarray:
        own = [ids[start] if stop - start == 1 else -1 for start, stop in self.units]
        return np.array(own, ids.dtype)

    def scores(self, scores: np.ndarray | None, axis: int) -> np.ndarray | None:
        if scores is None or not self.units:
            return scores
        parts = [
            np.take(scores, range(start, stop), axis)
            if stop - start == 1
            else np.expand_dims(
                aggregate(np.take(scores, range(start, stop), axis), self.function, axis), axis
            )
            for start, stop in self.units
        ]
        return np.concatenate(parts, axis)


def _units(spans: Spans, size: int, what: str) -> list[tuple[int, int]]:
    """The spans and the tokens between them, in order."""
    units, end = [], 0
    for start, stop in sorted((int(start), int(stop)) for start, stop in spans):
        if not 0 <= start < stop <= size:
            raise UsageError(f"a span is (start, stop) within the {size} {what}: got ({start}, {stop})")
        if start < end:
            raise UsageError(f"spans do not overlap: got ({start}, {stop}) behind one that ends at {end}")
        units += [*((index, index + 1) for index in range(end, start)), (start, stop)]
        end = stop
    return [*units, *((index, index + 1) for index in range(end, size))]


def _groups(positions: np.ndarray, units: Spans) -> list[tuple[int, int]]:
    """Runs of neighbouring predictions whose tokens are in one unit."""
    starts = np.array([start for start, _ in units])
    owners = np.searchsorted(starts, positions, "right") - 1
    groups: list[tuple[int, int]] = []
    for index, (position, owner) in enumerate(zip(positions.tolist(), owners.tolist(), strict=True)):
        is_next = index > 0 and position > 0 and position == positions[index - 1] + 1
        if is_next and owner == owners[index - 1]:
            groups[-1] = (groups[-1][0], index + 1)
        else:
            groups.append((index, index + 1))
    return groups


def _alone(size: int) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in range(size)]


def _over_groups(values: np.ndarray, name: str, groups: Spans) -> np.ndarray:
    span = _span_of(name)
    return np.array([steps.over_span(values[start:stop], span) for start, stop in groups], values.dtype)


def _span_of(name: str) -> str:
    """How a step function combines a span; the value of the largest magnitude for one that is not known."""
    try:
        return steps.parse_step_function(name).span
    except UsageError:
        return "absmax"


def _with_values(
    merged: AnyAttribution, result: AttributionFields, groups: Spans, function: str
) -> AnyAttribution:
    """The merged attribution with the step function's values, and what still holds of the completeness."""
    is_alone = len(groups) == len(result.positions)
    values, baselines = (
        None if own is None else _over_groups(own, result.step_function, groups)
        for own in (result.values, result.baseline_values)
    )
    error = result.completeness_error if is_alone and function == "sum" else None
    return merged._replace(values=values, baseline_values=baselines, completeness_error=error)


def _word_spans(
    tokens: Sequence[str], ids: np.ndarray, tokenizer: tokenizers.Tokenizer | None
) -> list[tuple[int, int]]:
    numbers = None if tokenizer is None else tokenizer_words(tokenizer, ids)
    numbers = token_words(tokens) if numbers is None else numbers
    is_new = [
        index == 0 or numbers[index] < 0 or numbers[index] != numbers[index - 1]
        for index in range(len(tokens))
    ]
    starts = np.flatnonzero(is_new).tolist()
    return list(zip(starts, [*starts[1:], len(tokens)], strict=True))
