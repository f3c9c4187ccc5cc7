"""Perplexities and bits per byte of a text; its bytes and words are counted in the original text."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm.scoring.engine import starts_of
from jaxlm.scoring.measures._measure import nats

# Longer texts are counted in parts of this many characters, so that no copy of the text is made.
CHARACTERS_AT_ONCE = 1 << 16
# Of each byte whether it is white space, as `str.split` sees ASCII.
IS_SPACE = bytes(chr(code).isspace() for code in range(256))
COUNTS = ("num_tokens", "num_scored", "num_words", "num_bytes")
RATES = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")


def text_columns(total: str) -> list[pa.Field]:
    """Returns the columns of `text_numbers`.

    Args:
      total: the name of the log-likelihood.
    """
    rates = [pa.field(name, pa.float64()) for name in RATES]
    return [*count_columns(), nats(total, tokens="num_scored"), *rates]


def text_numbers(
    text: str,
    total: str,
    log_probs: np.ndarray,
    num_tokens: int,
    *,
    is_whole: bool,
    num_words: int | None = None,
) -> dict[str, Any]:
    """Returns a text's counts, its log-likelihood in nats, and the rates that follow from them.

    `perplexity = exp(-LL / num_scored)`; the perplexities of words and bytes divide by their numbers;
    `bits_per_byte = -LL / (ln 2 * num_bytes)`. Words are separated by white space; bytes are those of UTF-8.

    Args:
      text: the original text.
      total: the name of the log-likelihood.
      log_probs: `Float[m]` of the scored tokens.
      num_tokens: of the text.
      is_whole: whether all of the text was scored; if not, rates by words and bytes are None.
      num_words: of the text; None: they are counted here.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.measures._text_numbers import text_numbers
      >>> numbers = text_numbers("ab c", "log_likelihood", np.log(np.full(4, 0.5)), 4, is_whole=True)
      >>> [round(numbers[name], 3) for name in ("log_likelihood", "perplexity", "word_perplexity")]
      [-2.773, 2.0, 4.0]
    """
    nats_sum, num_scored = float(np.add.reduce(log_probs, dtype=np.float64)), len(log_probs)
    own = counts(text, num_tokens, num_scored, num_words)
    num_words, num_bytes = (own["num_words"], own["num_bytes"]) if is_whole else (0, 0)
    return own | {
        total: nats_sum,
        "perplexity": perplexity_of_nats(nats_sum, num_scored) if num_scored else None,
        "word_perplexity": perplexity_of_nats(nats_sum, num_words) if num_words else None,
        "byte_perplexity": perplexity_of_nats(nats_sum, num_bytes) if num_bytes else None,
        "bits_per_byte": -nats_sum / (math.log(2.0) * num_bytes) if num_bytes else None,
    }


def count_columns() -> list[pa.Field]:
    """Returns the columns of `counts`."""
    return [pa.field(name, pa.int64()) for name in COUNTS]


def counts(text: str, num_tokens: int, num_scored: int, num_words: int | None = None) -> dict[str, int]:
    """Returns the counts of a row; words are separated by white space, bytes are those of UTF-8.

    Args:
      text: the original text.
      num_tokens: of the text.
      num_scored: how many tokens were scored.
      num_words: of the text; None: they are counted here.

    Example:
      >>> from jaxlm.scoring.measures._text_numbers import counts
      >>> counts("to be", 2, 2)
      {'num_tokens': 2, 'num_scored': 2, 'num_words': 2, 'num_bytes': 5}
    """
    return {
        "num_tokens": num_tokens,
        "num_scored": num_scored,
        "num_words": count_words(text) if num_words is None else num_words,
        "num_bytes": len(text) if text.isascii() else _num_bytes(text),
    }


def count_words(text: str) -> int:
    """Returns how many words a text has, separated by white space, without a list of all of them.

    Example:
      >>> from jaxlm.scoring.measures._text_numbers import count_words
      >>> count_words(" to be\\n or"), count_words("a" * 200_000)
      (3, 1)
    """
    if len(text) <= CHARACTERS_AT_ONCE:
        return len(text.split())
    total = 0
    for start in range(0, len(text), CHARACTERS_AT_ONCE):
        total += len(text[start : start + CHARACTERS_AT_ONCE].split())
        # A word that is cut between two parts is counted once.
        total -= start > 0 and not text[start - 1].isspace() and not text[start].isspace()
    return total


def count_words_of(texts: Sequence[str]) -> list[int]:
    """Returns how many words each text has, as `count_words` does, in one pass over all short ASCII texts.

    Example:
      >>> from jaxlm.scoring.measures._text_numbers import count_words_of
      >>> count_words_of([" to be\\n or", "", "not"])
      [3, 0, 1]
    """
    is_short = [len(text) <= CHARACTERS_AT_ONCE and text.isascii() for text in texts]
    short = [text for text, own in zip(texts, is_short, strict=True) if own]
    is_space = np.frombuffer(" ".join(["", *short]).encode().translate(IS_SPACE), np.uint8)
    # A word begins where a character that is no space follows a space; a space stands before every text.
    begins = np.flatnonzero(is_space[:-1] > is_space[1:])
    bounds = np.searchsorted(begins, starts_of([len(text) + 1 for text in short]))
    counted = iter(np.diff(bounds).tolist())
    return [next(counted) if own else count_words(text) for text, own in zip(texts, is_short, strict=True)]


def _num_bytes(text: str) -> int:
    return sum(
        len(text[start : start + CHARACTERS_AT_ONCE].encode())
        for start in range(0, len(text), CHARACTERS_AT_ONCE)
    )


def perplexity_of_nats(nats: float, count: int) -> float:
    """Returns exp(-nats / count), infinite if it exceeds the range of a float.

    Args:
      nats: the log-likelihood.
      count: of the tokens, words or bytes.

    Example:
      >>> import math
      >>> from jaxlm.scoring.measures._text_numbers import perplexity_of_nats
      >>> round(perplexity_of_nats(-2 * math.log(8), 2), 6)
      8.0
    """
    mean = -nats / count
    return math.exp(mean) if mean < 700 else math.inf
