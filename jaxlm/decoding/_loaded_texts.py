"""Checks of a loaded model and of its texts, and the ids that it reads for them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxlm import pretrained, tokenizers
from jaxlm.errors import UsageError

# A text, or ids. Nothing is added to ids.
Text = str | Iterable[int] | np.ndarray


def check_loaded(loaded: Any) -> None:
    """Checks that a value is one loaded model with a tokenizer.

    Raises:
      TypeError: if it is not a `pretrained.Loaded`, for instance the model's module alone.
      UsageError: if it has no tokenizer, or is an ensemble.

    Example:
      >>> from jaxlm.decoding._loaded_texts import check_loaded
      >>> check_loaded("a folder")
      Traceback (most recent call last):
      TypeError: expected what pretrained.load returns, got str; of arrays, make one: ...
    """
    if not isinstance(loaded, pretrained.Loaded):
        raise TypeError(
            f"expected what pretrained.load returns, got {type(loaded).__name__}; of arrays, make one: "
            "pretrained.Loaded(config, kind, model, params, tokenizer, {})"
        )
    loaded.check_single("decoding")
    _ = loaded.text_tokenizer


def check_top_k(top_k: Any) -> None:
    """Checks a number of candidates.

    Raises:
      UsageError: if it is below 1 or not a whole number.

    Example:
      >>> from jaxlm.decoding._loaded_texts import check_top_k
      >>> check_top_k(2.5)
      Traceback (most recent call last):
      jaxlm.errors.UsageError: top_k is at least 1, a whole number: got 2.5
    """
    is_whole = isinstance(top_k, (int, np.integer)) and not isinstance(top_k, bool)
    if not is_whole or top_k < 1:
        expected = "at least 1" if is_whole else "at least 1, a whole number"
        raise UsageError(f"top_k is {expected}: got {top_k!r}")


def frame_of(loaded: pretrained.Loaded) -> tokenizers.Frame:
    """Returns the tokens that a model reads around a text: for a causal LM the opening ones only.

    Args:
      loaded: the model.
    """
    is_whole = loaded.kind.encoder or not loaded.config.causal
    return tokenizers.text_frame(loaded.text_tokenizer, "text" if is_whole else "prompt", loaded.frame)


def read_ids(loaded: pretrained.Loaded, text: Text) -> np.ndarray:
    """Returns the ids that a model reads: those of a text in its frame, or the given ids unchanged.

    Args:
      loaded: the model.
      text: a text or ids.

    Raises:
      JaxlmError: if the tokenizer refuses the text.
    """
    if not isinstance(text, str):
        return np.asarray(text)
    return frame_of(loaded).around(loaded.text_tokenizer.encode(text))


def as_prompts(texts: Any) -> list[str | np.ndarray]:
    """Returns texts as a list, ids as arrays; a single text becomes a list of one.

    Raises:
      TypeError: if one of them is neither a text nor a row of ids.

    Example:
      >>> from jaxlm.decoding._loaded_texts import as_prompts
      >>> as_prompts("To be"), as_prompts([(1, 2)])
      (['To be'], [array([1, 2])])
      >>> as_prompts([["To be"]])
      Traceback (most recent call last):
      TypeError: a text is a string or a row of ids: got ['To be']
    """
    return [text if isinstance(text, str) else tokenizers.as_ids(text) for text in tokenizers.as_texts(texts)]


def with_targets(texts: Any, targets: Any) -> tuple[list[str | np.ndarray], list[Text | None]]:
    """Returns texts, or their ids, and their targets as two lists of one length.

    Args:
      texts: as for `as_prompts`.
      targets: a text or several, with None for texts that have no target; None: no text has one.

    Raises:
      UsageError: if there are not as many targets as texts.
      TypeError: as `as_prompts`.

    Example:
      >>> from jaxlm.decoding._loaded_texts import with_targets
      >>> with_targets(["To", "or"], ["be", None]), with_targets("To", None)
      ((['To', 'or'], ['be', None]), (['To'], [None]))
    """
    texts = as_prompts(texts)
    targets = [None] * len(texts) if targets is None else list(tokenizers.as_texts(targets))
    if len(targets) != len(texts):
        raise UsageError(f"every text has a target or None: got {len(targets)} for {len(texts)} texts")
    return texts, targets
