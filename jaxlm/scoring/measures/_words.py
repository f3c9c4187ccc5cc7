"""Surprisal of words, where tokens include the space in front, so that the next token ends a word.

A token may end with white space, too: after `.\\n` the word has ended, whatever follows.
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
      sets: `Bool[2 V]`: the ids that may follow a word (initial ids and the closing token), and those that a
        first word without a space may begin with (all others, and the closing token).
    """

    initial: np.ndarray
    final: np.ndarray
    sets: np.ndarray

    @staticmethod
    @functools.lru_cache(8)
    def of(tokenizer: tokenizers.Tokenizer, vocab_size: int, end: int | None = None) -> "WordRule":
        """Returns the rule of a tokenizer.

        Args:
          tokenizer: the model's tokenizer.
          vocab_size: V, of the model.
          end: the id that closes texts; None: that of `tokenizers.text_frame` for scores, if there is one.

        Raises:
          ScoreError: if no id begins with white space.
        """
        initial, final = np.zeros((2, vocab_size), bool)
        for id in np.flatnonzero(~tokenizers.special_mask(tokenizer, vocab_size)).tolist():
            text = tokenizer.token(id)
            initial[id], final[id] = text[:1].isspace(), text[-1:].isspace()
        if not initial.any():
            raise ScoreError(
                "words are separated by tokens that begin with a space, and this tokenizer has none; add up "
                "the scores of its tokens instead"
            )
        closing = np.zeros(vocab_size, bool)
        ends = tokenizers.text_frame(tokenizer, "score").closing if end is None else (end,)
        closing[list(ends[:1])] = True
        return WordRule(initial, final, np.stack([initial | closing, ~initial | closing]))


def word_rule(context: Context) -> WordRule:
    """Returns the rule of a model's tokenizer.

    Args:
      context: the model that is asked, with its tokenizer and its limits.

    Raises:
      ScoreError: if no id begins with white space.
    """
    return WordRule.of(context.tokenizer, context.vocab_size, closing_id_or_none(context))


def word_columns() -> list[pa.Field]:
    """Returns the columns of `word_rows`; the metadata of the surprisals says how they are corrected."""
    surprisals = nats("word_surprisals", pa.list_(pa.float64()))
    correction = {"corrected": "at the word's end, by the probability that a word ends there: see the README"}
    return [
        pa.field("words", pa.list_(pa.string())),
        surprisals.with_metadata(surprisals.metadata | correction),
    ]


def word_spans(
    initial: Sequence[bool], blank: Sequence[bool], final: Sequence[bool] | None = None
) -> list[tuple[int, int]]:
    """Returns the words of a text as spans of its tokens.

    A word begins with the first token, with each initial token, and behind each final token. Tokens of white
    space alone belong to the word behind them; at the end of the text, to the word before them.

    Args:
      initial: whether each token begins with white space.
      blank: whether each token is white space alone.
      final: whether each token ends with white space; None: as `blank`.

    Example:
      >>> from jaxlm.scoring.measures._words import word_spans
      >>> word_spans([False, True, False, True, True], [False, False, False, True, False])
      [(0, 1), (1, 3), (3, 5)]
      >>> word_spans([False, True, False, False], [False] * 4, [False, False, True, False])
      [(0, 1), (1, 3), (3, 4)]
    """
    final = blank if final is None else final
    begins = [True, *(own or before for own, before in zip(initial[1:], final, strict=False))]
    starts = [index for index in range(len(initial)) if begins[index]]
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
    """Returns log p(word | the text before it), corrected for the word's end, in nats.

    A token that begins with a space implies that the word before it has ended, and the probability of that
    end belongs to the word before. With `beta(c) = log sum_{v in B} p(v | c)`, where B are the ids that may
    follow a word, `log p(w | c) = sum of the word's tokens + beta(c w) - beta(c)`. Without the correction the
    probabilities of all words sum to more than 1. Behind a token that ends with white space the word has
    certainly ended, and beta is 0 (see `end_masses`).

    Args:
      spans: of the words.
      log_probs: `Float[n]` of the tokens.
      ends: `Float[n + 1]`: `beta` before each token, and behind the last.
      first: is subtracted from the first word instead of `beta`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.measures._words import word_log_probs
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
    """Returns log p(a word ends here) before each token and behind the last one; 0 behind white space.

    Args:
      masses: `Float[n + 1]`: log of the probability of the ids that may follow a word, at each place.
      final: `Bool[n]` whether each token ends with white space.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.measures._words import end_masses
      >>> end_masses(np.array([-1.0, -2.0, -3.0]), np.array([False, True])).tolist()
      [-1.0, -2.0, 0.0]
    """
    return np.where(np.concatenate([[False], final]), 0.0, masses)


def word_rows(context: Context, text: str, tokens: np.ndarray, scores: QueryScores) -> dict[str, Any]:
    """Returns the words of a text and their surprisals in nats; None for a first word that nothing predicts.

    Surprisals are corrected at the word's end (see `word_log_probs`): they are not sums of token surprisals.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      text: the original text.
      tokens: `Int32[n]` its ids.
      scores: of the text's tokens and of one place behind them, with masses; if nothing is read before the
        text, without the first token.

    Raises:
      ScoreError: if the tokenizer has no tokens that begin with a space.
    """
    if scores.masses is None:
        raise AssertionError("words need the masses of the ids that end them")
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
    by_word = word_log_probs(spans, log_probs, end_masses(masses[:, 0], final), first)
    surprisals = [
        None if missing and not start else -own for own, (start, _) in zip(by_word, spans, strict=True)
    ]
    words = [
        encoded[starts[start] : ends[end - 1]].decode("utf-8", "replace").strip() for start, end in spans
    ]
    return {"words": words, "word_surprisals": surprisals}
