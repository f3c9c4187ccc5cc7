"""Small language models over tokens whose byte probabilities are enumerated: every cover of every prefix.

A cover of a text are tokens of which the last alone may go beyond the text. All numbers are float64 nats.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Encode = Callable[[bytes], tuple[int, ...]]


class SmallLM(NamedTuple):
    """A model whose log-probs depend on the whole context, and are drawn by it.

    Attributes:
      token_bytes: by id, its bytes; None or `b""`: no text.
      eos_ids: ids that end a text; they are no text, even if they have bytes.
      opening: ids before every text.
      scale: the standard deviation of logits.
      seed: another model for each.
    """

    token_bytes: tuple[bytes | None, ...]
    eos_ids: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    scale: float = 2.0
    seed: int = 0

    @property
    def text_ids(self) -> list[int]:
        """The ids that are text."""
        return [id for id, data in enumerate(self.token_bytes) if data and id not in self.eos_ids]

    def log_probs(self, context: Sequence[int]) -> np.ndarray:
        """Log-probs `[V]` of the token after the opening and a context."""
        return drawn_log_probs(self, (*self.opening, *context))

    def log_prob(self, tokens: Sequence[int]) -> float:
        """The log-prob of tokens after the opening."""
        return float(sum(self.log_probs(tokens[:size])[id] for size, id in enumerate(tokens)))

    def end_log_prob(self, tokens: Sequence[int]) -> float:
        """The log-prob of tokens and of an end after them."""
        return self.log_prob(tokens) + log_sum(self.log_probs(tokens)[id] for id in self.eos_ids)


@functools.cache
def drawn_log_probs(lm: SmallLM, context: tuple[int, ...]) -> np.ndarray:
    draws = np.random.default_rng([lm.seed, len(context), *context])
    logits = lm.scale * draws.normal(size=len(lm.token_bytes))
    log_probs = logits - np.logaddexp.reduce(logits)
    log_probs.flags.writeable = False
    return log_probs


def log_sum(values) -> float:
    """Log-sum-exp; -inf of nothing."""
    return float(np.logaddexp.reduce(np.array([-np.inf, *values])))


def covers(lm: SmallLM, text: bytes) -> Iterator[tuple[int, ...]]:
    """Yields every cover of a text; of the empty text it is no token."""
    if not text:
        yield ()
        return
    for id in lm.text_ids:
        data = lm.token_bytes[id]
        if data.startswith(text):
            yield (id,)
        elif text.startswith(data):
            yield from ((id, *rest) for rest in covers(lm, text[len(data) :]))


def spellings(lm: SmallLM, text: bytes) -> Iterator[tuple[int, ...]]:
    """Yields all tokens that spell exactly a text."""
    return (cover for cover in covers(lm, text) if spelled(lm, cover) == text)


def spelled(lm: SmallLM, tokens: Sequence[int]) -> bytes:
    return b"".join(lm.token_bytes[id] for id in tokens)


def prefix_log_prob(lm: SmallLM, text: bytes) -> float:
    """log P(text is a prefix), over all tokenizations."""
    return log_sum(lm.log_prob(cover) for cover in covers(lm, text))


def whole_log_prob(lm: SmallLM, text: bytes) -> float:
    """log P(text, and an end), over all tokenizations."""
    return log_sum(lm.end_log_prob(tokens) for tokens in spellings(lm, text))


def stem_log_prob(lm: SmallLM, text: bytes, encode: Encode) -> float:
    """log P_stem(text is a prefix): all tokens but the last are the canonical ones of their bytes."""
    if not text:
        return 0.0
    return log_sum(
        lm.log_prob((*encode(text[:size]), id))
        for size in range(len(text))
        for id in lm.text_ids
        if lm.token_bytes[id].startswith(text[size:])
    )


def stem_whole_log_prob(lm: SmallLM, text: bytes, encode: Encode) -> float:
    """log P_stem(text, and an end): that of the canonical tokens."""
    return lm.end_log_prob(encode(text))


def canonical_log_prob(lm: SmallLM, text: bytes, encode: Encode) -> float:
    """log P_canonical(text is a prefix): covers which are the canonical tokens of their own bytes."""
    kept = (cover for cover in covers(lm, text) if encode(spelled(lm, cover)) == cover)
    return log_sum(lm.log_prob(cover) for cover in kept)


def next_byte_log_probs(prefix: Callable[[bytes], float], whole: float, text: bytes) -> np.ndarray:
    """Joint log-probs `[257]` of a text with each next byte and, last, with an end.

    Args:
      prefix: the log-prob of a text as a prefix.
      whole: the log-prob of `text` and an end.
      text: the bytes so far.
    """
    return np.array([*(prefix(text + bytes([letter])) for letter in range(256)), whole])


def bpe(alphabet: bytes, merges: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, ...], Encode]:
    """The tokens of a byte-pair encoding, single bytes first, and its encoder.

    Args:
      alphabet: the bytes that are tokens.
      merges: pairs of tokens, the most urgent first.
    """
    tokens = (*(bytes([letter]) for letter in alphabet), *(left + right for left, right in merges))
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges)))}

    @functools.cache
    def encode(text: bytes) -> tuple[int, ...]:
        parts = [bytes([letter]) for letter in text]
        while True:
            found = [(ranks[pair], i) for i, pair in enumerate(itertools.pairwise(parts)) if pair in ranks]
            if not found:
                return tuple(tokens.index(part) for part in parts)
            _, i = min(found)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]

    return tokens, encode
