"""Surprisal of words where a token carries the space in front of it, so that the next token ends a word.

A token may carry white space behind it, too: after `.\\n` the word has ended, whatever follows.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import tokenizers
from jaxlm.scoring.engine import QueryScores
from jaxlm.scoring.measures._measure import Context, ScoreError, nats
from jaxlm.scoring.measures._openings import closing_id_or_none
from jaxlm.scoring.measures._token_rows import byte_offsets


class WordRule(NamedTuple):
    """Which ids begin a word, and which end one.

    Attributes:
      initial: `Bool[V]` ids whose text begins with white space.
      final: `Bool[V]` ids whose text ends with white space.
      sets: `Bool[2 V]`: what may stand behind a word (initial ids and the closing token), and what an
        unspaced first word may begin with (all others, and the closing token).
    """

    initial: np.ndarray
    final: np.ndarray
    sets: np.ndarray

    @staticmethod
    @functools.lru_cache(8)
    def of(tokenizer: tokenizers.Tokenizer, vocab_size: int, end: int | None = None) -> "WordRule":
        """Returns the rule of a tokenizer.

        Args:
          tokenizer: of the model.
          vocab_size: V, of the model.
          end: the id that closes texts; None: what `tokenizers.text_frame` says of scores, if anything.

        Raises:
          ScoreError: if no id begins with white space.
        """
        initial, final = np.zeros((2, vocab_size), bool)
        for id in np.flatnonzero(~tokenizers.special_mask(tokenizer, vocab_size)).tolist():
            text = tokenizer.token(id)
            initial[id], final[id] = text[:1].isspace(), text[-1:].isspace()
        if not initial.any():
            raise ScoreError(
                "words are told apart by tokens that begin with a space: this tokenizer has none; its scores "
                "of words are sums of its tokens' scores"
            )
        closing = np.zeros(vocab_size, bool)
        ends = tokenizers.text_frame(tokenizer, "score").closing if end is None else (end,)
        closing[list(ends[:1])] = True
        return WordRule(initial, final, np.stack([initial | closing, ~initial | closing]))


def word_rule(context: Context) -> WordRule:
    """Returns the rule of a model's tokenizer."""
    return WordRule.of(context.tokenizer, context.config.vocab_size, closing_id_or_none(context))


def word_columns() -> list[pa.Field]:
    """Returns the columns of `word_rows`; what is said of the surprisals stays with the column."""
    surprisals = nats("word_surprisals", pa.list_(pa.float64()))
    said = {"corrected": "at the word's end, by the probability that a word ends there: see the README"}
    return [pa.field("words", pa.list_(pa.string())), surprisals.with_metadata(surprisals.metadata | said)]


def word_spans(
    initial: Sequence[bool], blank: Sequence[bool], final: Sequence[bool] | None = None
) -> list[tuple[int, int]]:
    """Returns the words of a text as spans of its tokens.

    A word begins with the first token, with each initial one and behind each final one. Tokens that are white
    space alone belong to the word behind them, at the end of the text to the one before.

    Args:
      initial: whether each token begins with white space.
      blank: whether it is nothing else.
      final: whether it ends with white space; None: as `blank`.

    Example:
      >>> word_spans([False, True, False, True, True], [False, False, False, True, False])
      [(0, 1), (1, 3), (3, 5)]
      >>> word_spans([False, True, False, False], [False] * 4, [False, False, True, False])
      [(0, 1), (1, 3), (3, 4)]
    """
    final = blank if final is None else final
    begins = [True, *(one or other for one, other in zip(initial[1:], final, strict=False))]
    starts = [place for place in range(len(initial)) if begins[place]]
    spans, begun = [], None
    for start, end in zip(starts, [*starts[1:], len(initial)], strict=True):
        begun = start if begun is None else begun
        if not all(blank[start:end]):
            spans.append((begun, end))
            begun = None
    if begun is not None:
        spans = [*spans[:-1], (spans[-1][0], len(initial))] if spans else [(begun, len(initial))]
    return spans


def word_log_probs(
    spans: Sequence[tuple[int, int]], log_probs: np.ndarray, ends: np.ndarray, first: float
) -> list[float]:
    """Returns log p(word | what is before it), corrected, in nats.

    A token with its space in front says that the word before it has ended: that mass belongs to that word.
    With `beta(c) = log sum_{v in B} p(v | c)`, B being what may stand behind a word, `log p(w | c) = sum of
    its tokens + beta(c w) - beta(c)`. Uncorrected, the probabilities of all words sum to more than 1. Behind
    a token that ends with white space the word has ended for certain: there beta is 0 (see `end_masses`).

    Args:
      spans: of the words.
      log_probs: `Float[n]` of the tokens.
      ends: `Float[n + 1]`: `beta` before each token, and behind the last.
      first: what is subtracted of the first word in the place of `beta`.

    Example:
      >>> half = np.log(np.full(3, 0.5))
      >>> [round(word, 3) for word in word_log_probs([(0, 1), (1, 2)], half[:2], half, first=half[0])]
      [-0.693, -0.693]

    References:
      Pimentel and Meister, "How to Compute the Probability of a Word", 2024,
        https://arxiv.org/abs/2406.14561.
      Oh and Schuler, "Leading Whitespaces of Language Models' Subword Vocabulary Pose a Confound for
        Calculating Word Probabilities", 2024, https://arxiv.org/abs/2406.10851.
    """
    sums = np.concatenate([[0.0], np.cumsum(log_probs, dtype=np.float64)])
    return [
        float(sums[end] - sums[start] + ends[end] - (ends[start] if start else first)) for start, end in spans
    ]


def end_masses(masses: np.ndarray, final: np.ndarray) -> np.ndarray:
    """Returns log p(a word ends here) before each token and behind the last, 0 behind white space.

    Args:
      masses: `Float[n + 1]`: log of the mass of what may stand behind a word, by place.
      final: `Bool[n]` whether each token ends with white space.

    Example:
      >>> end_masses(np.array([-1.0, -2.0, -3.0]), np.array([False, True])).tolist()
      [-1.0, -2.0, 0.0]
    """
    return np.where(np.concatenate([[False], final]), 0.0, masses)


def word_rows(context: Context, text: str, tokens: np.ndarray, scores: QueryScores) -> dict[str, Any]:
    """Returns the words of a text and their surprisals in nats; null for a first word that nothing predicts.

    Surprisals are corrected at a word's end (see `word_log_probs`): they are not the sums of its tokens'.

    Args:
      context: of the model.
      text: the original text.
      tokens: `Int32[n]` its ids.
      scores: of its tokens and, last, of what follows it, with masses; where nothing is before the text, of
        all but the first token.
    """
    rule = word_rule(context)
    starts, ends = byte_offsets(context.tokenizer, text)
    encoded = text.encode()
    initial, final = rule.initial[tokens], rule.final[tokens]
    blank = [not context.tokenizer.token(id).strip() for id in tokens.tolist()]
    spans = word_spans(initial.tolist(), blank, final.tolist())
    missing = len(tokens) + 1 - len(scores.masses)
    masses = np.concatenate([np.zeros((missing, 2)), scores.masses])
    log_probs = np.concatenate([np.zeros(missing), scores.log_probs])[: len(tokens)]
    first = float(masses[0, 0 if initial[0] else 1])
    found = word_log_probs(spans, log_probs, end_masses(masses[:, 0], final), first)
    surprisals = [
        None if missing and not start else -one for one, (start, _) in zip(found, spans, strict=True)
    ]
    words = [
        encoded[starts[start] : ends[end - 1]].decode("utf-8", "replace").strip() for start, end in spans
    ]
    return {"words": words, "word_surprisals": surprisals}
