"""Checks of texts: one text or several, rows of ids, and characters that UTF-8 can write."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxlm.errors import UsageError


def as_texts(texts: Any) -> Iterable[Any]:
    """Returns several texts unchanged, and a single string as a list of one text.

    Args:
      texts: a string, or any iterable of texts.

    Raises:
      TypeError: `texts` is bytes, which have to be decoded first.

    Example:
      >>> from jaxlm.tokenizers import as_texts
      >>> as_texts("To be"), as_texts(["To be", "or not"])
      (['To be'], ['To be', 'or not'])
    """
    if isinstance(texts, (bytes, bytearray)):
        raise TypeError(f"expected a text or several, got bytes: decode them first ({bytes(texts[:20])!r})")
    return [texts] if isinstance(texts, str) else texts


def as_ids(row: Any) -> np.ndarray:
    """Returns a sequence of ids as an array, `Int[L]`.

    Args:
      row: any iterable of integers, or an array.

    Raises:
      TypeError: `row` holds something other than integers, or has more than one axis.

    Example:
      >>> from jaxlm.tokenizers import as_ids
      >>> as_ids((1, 2)), as_ids([]).size
      (array([1, 2]), 0)
    """
    is_row = isinstance(row, Iterable) and not isinstance(row, bytes)
    ids = np.asarray(list(row) if is_row and not hasattr(row, "shape") else row)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise TypeError(f"a text is a string or a row of ids: got {repr(row)[:60]}")
    return ids if ids.size else ids.astype(np.int32)


def check_characters(text: str) -> None:
    """Raises an error for a text that cannot be written in UTF-8.

    Raises:
      UsageError: the text holds half of a surrogate pair; names its position.

    Example:
      >>> from jaxlm.tokenizers._texts import check_characters
      >>> check_characters("to be")
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{text[error.start]!r} at position {error.start} is half of a surrogate pair and no character: "
            f"read it as UTF-8"
        ) from error
