"""What counts as a text: lists of texts, of which a single one is one, and characters that are whole."""

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


def check_characters(text: str) -> None:
    """Refuses a text that cannot be written in UTF-8.

    Raises:
      ValueError: if it holds half of a surrogate pair; names its place.

    Example:
      >>> check_characters("to be")
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"{text[error.start]!r} at position {error.start}"
        raise ValueError(f"{found} is half of a surrogate pair and no character: read it as UTF-8") from error
