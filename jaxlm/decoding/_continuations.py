"""Tokens as the text they add to a prompt, and where it ends."""

from collections.abc import Sequence

import numpy as np

from jaxlm import tokenizers

REPLACEMENT = "\ufffd"


def continuation(tokenizer: tokenizers.Tokenizer, prompt: np.ndarray, tokens: np.ndarray) -> str:
    """Returns the text that tokens add behind a prompt: what both decode to, less what the prompt does.

    Decoded alone, the tokens would lose the space that they begin with where a tokenizer strips one. Ids that
    a model has and its tokenizer does not are no text.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding._continuations import continuation
      >>> tokenizer = tokenizers.bytes_tokenizer()
      >>> continuation(tokenizer, tokenizer.encode("ab"), tokenizer.encode("cd"))
      'cd'
    """
    prompt, tokens = (ids[ids < tokenizer.vocab_size] for ids in (prompt, tokens))
    before, both = tokenizer.decode(prompt), tokenizer.decode(np.concatenate([prompt, tokens]))
    # A prompt that ends within a character does not stay what it was: then the tokens speak for themselves.
    return both[len(before) :] if both.startswith(before) else tokenizer.decode(tokens)


def cut_at_stop(
    tokenizer: tokenizers.Tokenizer,
    prompt: np.ndarray,
    tokens: np.ndarray,
    text: str,
    stop_strings: Sequence[str],
) -> tuple[int, str, bool]:
    """Returns how many tokens stay, the text up to the first stop string, and whether there is one.

    The tokens stay up to the one that completes the string: so many were needed to see it.
    """
    places = [text.find(string) for string in stop_strings]
    found = [
        (place, place + len(string)) for place, string in zip(places, stop_strings, strict=True) if place >= 0
    ]
    if not found:
        return len(tokens), text, False
    place, end = min(found)
    size = next(
        size
        for size in range(1, len(tokens) + 1)
        if size == len(tokens)
        or len(stable_prefix(continuation(tokenizer, prompt, tokens[:size]), ())) >= end
    )
    return size, text[:place], True


def stable_prefix(text: str, stop_strings: Sequence[str]) -> str:
    """Returns the part of a text that what is written next cannot change.

    Held back are characters whose bytes are not complete, and an end that a stop string begins with.

    Example:
      >>> from jaxlm.decoding._continuations import REPLACEMENT, stable_prefix
      >>> stable_prefix("so it en", ("end",)), settled("caf" + REPLACEMENT, ())
      ('so it ', 'caf')
    """
    text = text.rstrip(REPLACEMENT)
    held = max((_overlap(text, string) for string in stop_strings), default=0)
    return text[: len(text) - held]


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of the text that the string begins with, short of all of it."""
    return next((size for size in range(len(string) - 1, 0, -1) if text.endswith(string[:size])), 0)
