"""Perplexities and bits per byte of a text, its bytes and words counted in the text itself."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm.scoring.measures._measure import nats

CHARACTERS_AT_ONCE = 1 << 16  # characters
COUNTS = ("num_tokens", "num_scored", "num_words", "num_bytes")
RATES = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")


def text_columns(total: str) -> list[pa.Field]:
    """Returns the columns of `text_numbers`.

    Args:
      total: name of the log-likelihood.
    """
    rates = [pa.field(name, pa.float64()) for name in RATES]
    return [*count_columns(), nats(total, tokens="num_scored"), *rates]


def text_numbers(
    text: str, total: str, log_probs: np.ndarray, num_tokens: int, *, is_whole: bool
) -> dict[str, Any]:
    """Returns a text's counts, its log-likelihood in nats and what follows from both.

    `perplexity = exp(-LL / num_scored)`, of words and bytes the same by their number; `bits_per_byte = -LL /
    (ln 2 * num_bytes)`. Words are what white space divides, bytes those of UTF-8.

    Args:
      text: the original text.
      total: name of the log-likelihood.
      log_probs: of its scored tokens.
      num_tokens: of the text.
      is_whole: whether all of the text was scored; rates by words and bytes are None otherwise.

    Example:
      >>> numbers = text_numbers("ab c", "log_likelihood", np.log(np.full(4, 0.5)), 4, is_whole=True)
      >>> [round(numbers[name], 3) for name in ("log_likelihood", "perplexity", "word_perplexity")]
      [-2.773, 2.0, 4.0]
    """
    found = float(np.sum(log_probs, dtype=np.float64))
    own = counts(text, num_tokens, len(log_probs))
    words, num_bytes = (own[name] if is_whole else 0 for name in COUNTS[2:])
    rates = (
        perplexity_of_nats(found, count) if count else None for count in (len(log_probs), words, num_bytes)
    )
    bits = -found / (math.log(2.0) * num_bytes) if num_bytes else None
    return own | {total: found} | dict(zip(RATES, (*rates, bits), strict=True))


def count_columns() -> list[pa.Field]:
    """Returns the columns of `counts`."""
    return [pa.field(name, pa.int64()) for name in COUNTS]


def counts(text: str, num_tokens: int, num_scored: int) -> dict[str, int]:
    """Returns the counts of a row; words are what white space divides, bytes those of UTF-8.

    Example:
      >>> counts("to be", 2, 2)
      {'num_tokens': 2, 'num_scored': 2, 'num_words': 2, 'num_bytes': 5}
    """
    return dict(zip(COUNTS, (num_tokens, num_scored, count_words(text), _num_bytes(text)), strict=True))


def count_words(text: str) -> int:
    """Returns how many words white space divides a text into, without holding them all.

    Example:
      >>> count_words(" to be\\n or"), count_words("a" * 200_000)
      (3, 1)
    """
    total = 0
    for start in range(0, len(text), CHARACTERS_AT_ONCE):
        total += len(text[start : start + CHARACTERS_AT_ONCE].split())
        # A word that goes on is counted once.
        total -= start > 0 and not text[start - 1].isspace() and not text[start].isspace()
    return total


def _num_bytes(text: str) -> int:
    return sum(
        len(text[start : start + CHARACTERS_AT_ONCE].encode())
        for start in range(0, len(text), CHARACTERS_AT_ONCE)
    )


def perplexity_of_nats(nats: float, count: int) -> float:
    """Returns exp(-nats / count), infinite where that is beyond a float.

    Example:
      >>> round(perplexity_of_nats(-2 * math.log(8), 2), 6)
      8.0
    """
    mean = -nats / count
    return math.exp(mean) if mean < 700 else math.inf
