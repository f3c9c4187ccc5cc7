"""Parses JSON; every error is a `ValueError` of one line."""

import json
from collections.abc import Callable, Iterable
from typing import Any

# The most levels of lists and objects. Files have less than a tenth of them, and functions that write or walk
# a value recurse as deep.
MAX_JSON_DEPTH = 200


def parse_json(text: str | bytes, *, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Returns the value of a JSON text.

    Args:
      text: a string, or bytes in UTF-8.
      pairs_hook: a function that turns the (key, value) pairs of a JSON object into a Python value. None: an
        object becomes a dict, in which the last value of a repeated key wins.

    Raises:
      ValueError: the text is no JSON, is nested more than 200 deep, or holds an integer of more digits than
        Python reads.

    Example:
      >>> from jaxlm.io import parse_json
      >>> parse_json('{"depth": 2}')
      {'depth': 2}
      >>> parse_json("[" * 1000 + "]" * 1000)
      Traceback (most recent call last):
      ValueError: lists and objects are nested more than 200 deep
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs_hook)
    except RecursionError:
        raise ValueError(f"lists and objects are nested more than {MAX_JSON_DEPTH} deep") from None
    except ValueError as error:
        # For an integer with thousands of digits Python's message says how to allow more, which is no remedy.
        is_long = "integer string conversion" in str(error)
        told = "a whole number has thousands of digits" if is_long else str(error)
        raise ValueError(told) from error
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [inner for outer in level for inner in _inner(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError(f"lists and objects are nested more than {MAX_JSON_DEPTH} deep")


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
