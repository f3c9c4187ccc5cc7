"""Perplexities and bits per byte of a text, its bytes and words counted in the text itself."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm.scoring._measure import nats

COUNTS = ("num_tokens", "num_scored", "num_words", "num_bytes")
RATES = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")


def text_columns(total: str) -> list[pa.Field]:
    """Returns the columns of `text_numbers`.

    Args:
      total: name of the log-likelihood.
    """
    counts = [pa.field(name, pa.int64()) for name in COUNTS]
    return [*counts, nats(total, tokens="num_scored"), *(pa.field(name, pa.float64()) for name in RATES)]


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
    counts = (num_tokens, len(log_probs), len(text.split()), len(text.encode()))
    words, num_bytes = (count if is_whole else 0 for count in counts[2:])
    rates = (_perplexity(found, count) for count in (len(log_probs), words, num_bytes))
    bits = -found / (math.log(2.0) * num_bytes) if num_bytes else None
    return (
        dict(zip(COUNTS, counts, strict=True))
        | {total: found}
        | dict(zip(RATES, (*rates, bits), strict=True))
    )


def _perplexity(found: float, count: int) -> float | None:
    if not count:
        return None
    return math.exp(-found / count) if -found / count < 700 else math.inf
