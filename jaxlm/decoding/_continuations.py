"""The text that new tokens add to a prompt, and where it ends."""

from collections.abc import Sequence

import numpy as np

from jaxlm import tokenizers

REPLACEMENT = "\ufffd"


def continuation(tokenizer: tokenizers.Tokenizer, prompt: np.ndarray, tokens: np.ndarray) -> str:
    """Returns the text that tokens add to a prompt: that of prompt and tokens without that of the prompt.

    Some tokenizers strip a leading space, so that tokens decoded alone would lose it. Ids that the model has
    and its tokenizer has not are left out.

    Args:
      tokenizer: of the model.
      prompt: `Int[L]` ids.
      tokens: `Int[U]` the ids after it.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding._continuations import continuation
      >>> tokenizer = tokenizers.bytes_tokenizer()
      >>> continuation(tokenizer, tokenizer.encode("ab"), tokenizer.encode("cd"))
      'cd'
    """
    prompt, tokens = (ids[ids < tokenizer.vocab_size] for ids in (prompt, tokens))
    before, both = tokenizer.decode(prompt), tokenizer.decode(np.concatenate([prompt, tokens]))
    # If the prompt ends within a character, its text changes with the tokens: then they are decoded alone.
    return both[len(before) :] if both.startswith(before) else tokenizer.decode(tokens)


def cut_at_stop(
    tokenizer: tokenizers.Tokenizer,
    prompt: np.ndarray,
    tokens: np.ndarray,
    text: str,
    stop_strings: Sequence[str],
) -> tuple[int, str, bool]:
    """Cuts a text at the first stop string in it.

    The token that completes the stop string is kept: it was needed to find the string.

    Args:
      tokenizer: of the model.
      prompt: `Int[L]` ids.
      tokens: `Int[U]` the ids after it.
      text: their text, `continuation(tokenizer, prompt, tokens)`.
      stop_strings: strings that end a text.

    Returns:
      How many tokens are kept, the text up to the first stop string, and whether there is one.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding._continuations import cut_at_stop
      >>> tokenizer = tokenizers.bytes_tokenizer()
      >>> prompt, tokens = tokenizer.encode("ab"), tokenizer.encode("cd. ef")
      >>> cut_at_stop(tokenizer, prompt, tokens, "cd. ef", (". ",))
      (4, 'cd', True)
    """
    starts = [text.find(string) for string in stop_strings]
    matches = [
        (start, start + len(string)) for start, string in zip(starts, stop_strings, strict=True) if start >= 0
    ]
    if not matches:
        return len(tokens), text, False
    start, end = min(matches)
    size = next(
        size
        for size in range(1, len(tokens) + 1)
        if size == len(tokens)
        or len(stable_prefix(continuation(tokenizer, prompt, tokens[:size]), ())) >= end
    )
    return size, text[:start], True


def stable_prefix(text: str, stop_strings: Sequence[str]) -> str:
    """Returns the part of a text that later tokens cannot change.

    Left out are incomplete characters at the end, and an end that is the beginning of a stop string.

    Example:
      >>> from jaxlm.decoding._continuations import REPLACEMENT, stable_prefix
      >>> stable_prefix("so it en", ("end",)), stable_prefix("caf" + REPLACEMENT, ())
      ('so it ', 'caf')
    """
    text = text.rstrip(REPLACEMENT)
    held = max((_overlap(text, string) for string in stop_strings), default=0)
    return text[: len(text) - held]


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of the text that is a beginning of the string, but not all of it."""
    return next((size for size in range(len(string) - 1, 0, -1) if text.endswith(string[:size])), 0)
