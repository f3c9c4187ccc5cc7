"""Lists of texts, of which a single text is one."""

from collections.abc import Iterable
from typing import Any


def as_texts(texts: Any) -> Iterable[Any]:
    """Returns texts as they are given, and a single one as a list of it: a string is no list of letters.

    Args:
      texts: a string, or any iterable of texts.

    Raises:
      TypeError: if it is bytes, which are no text before they are decoded.

    Example:
      >>> as_texts("To be"), as_texts(["To be", "or not"])
      (['To be'], ['To be', 'or not'])
    """
    if isinstance(texts, (bytes, bytearray)):
        raise TypeError(f"expected a text or several, got bytes: decode them first ({bytes(texts[:20])!r})")
    return [texts] if isinstance(texts, str) else texts
