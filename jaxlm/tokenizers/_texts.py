"""What counts as a text: one or a list of them, rows of ids, characters that are whole."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxlm.errors import UsageError


def as_texts(texts: Any) -> Iterable[Any]:
    """Returns texts as they are given, and a single one as a list of it: a string is no list of letters.

    Args:
      texts: a string, or any iterable of texts.

    Raises:
      TypeError: if it is bytes, which are no text before they are decoded.

    Example:
      >>> from jaxlm.tokenizers import as_texts
      >>> as_texts("To be"), as_texts(["To be", "or not"])
      (['To be'], ['To be', 'or not'])
    """
    if isinstance(texts, (bytes, bytearray)):
        raise TypeError(f"expected a text or several, got bytes: decode them first ({bytes(texts[:20])!r})")
    return [texts] if isinstance(texts, str) else texts


def as_ids(row: Any) -> np.ndarray:
    """Returns a row of ids as an array of whole numbers, `Int[L]`.

    Args:
      row: any iterable of whole numbers, or an array.

    Raises:
      TypeError: if it is something else.

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
    """Refuses a text that cannot be written in UTF-8.

    Raises:
      UsageError: if it holds half of a surrogate pair; names its place.

    Example:
      >>> from jaxlm.tokenizers._texts import check_characters
      >>> check_characters("to be")
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"{text[error.start]!r} at position {error.start}"
        raise UsageError(f"{found} is half of a surrogate pair and no character: read it as UTF-8") from error
