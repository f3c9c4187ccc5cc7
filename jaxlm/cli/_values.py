"""The values of options: checked against the option's type, and spelled as that type reads them."""

import math
import re
import types
import typing
from typing import Any

from jaxlm.cli._failures import UsageError

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
# ASCII digits alone: `int` also reads other scripts', and raises its own error for more than 4,300 digits.
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
# The largest whole number of arrays and files.
LARGEST_NUMBER = 2**63 - 1
LONGEST_SHOWN = 60


def as_flag(text: str) -> bool | None:
    """Returns the value of a flag that a word means; None if it means neither.

    Example:
      >>> from jaxlm.cli._values import as_flag
      >>> as_flag("No"), as_flag("1"), as_flag("None")
      (False, True, None)
    """
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None


def as_literal(text: str) -> bool | int | float | str | None:
    """Returns the value that a text spells: a number, true or false, None, or the text itself.

    Example:
      >>> from jaxlm.cli._values import as_literal
      >>> as_literal("10"), as_literal("0.5"), as_literal("True"), as_literal("left"), as_literal("None")
      (10, 0.5, True, 'left', None)
    """
    word = text.strip()
    if word in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[word]
    number = _whole(word)
    if number is not None:
        return int(number)
    number = _number(word)
    return word if number is None else float(number)


def checked_value(name: str, hint: Any, text: str) -> str:
    """Returns a value's text, spelled as its type reads it.

    Args:
      name: of the option, for the message.
      hint: the option's type; a tuple's is that of each of its values.
      text: the value.

    Raises:
      UsageError: if it is no value of that type.

    Example:
      >>> from jaxlm.cli._values import checked_value
      >>> checked_value("--ends", bool | None, "yes"), checked_value("--steps", int, "1_000")
      ('True', '1000')
    """
    kinds = value_types(hint)
    if text == "None" and types.NoneType in kinds:
        return text
    for kind in kinds:
        spelled = _read(kind, text)
        if spelled is not None:
            return spelled
    raise UsageError(f"{name} {_expected(kinds, text)}, got {_shown(text)}")


def value_types(hint: Any) -> list[Any]:
    """Returns the types that a value may have: the members of a union, the type of a tuple's values.

    Example:
      >>> from jaxlm.cli._values import value_types
      >>> value_types(int | None)
      [<class 'int'>, <class 'NoneType'>]
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return [kind for one in inner for kind in value_types(one)]
    if origin is tuple:
        return value_types(inner[0])
    return [hint]


def takes_many(hint: Any) -> bool:
    """Returns whether an option takes all values up to the next option."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return any(typing.get_origin(option) is tuple for option in options)


def _read(kind: Any, text: str) -> str | None:
    """Returns the text as a value of one type; None if it is no such value."""
    if typing.get_origin(kind) is typing.Literal:
        return text if text in map(str, typing.get_args(kind)) else None
    if kind is bool:
        flag = as_flag(text)
        return None if flag is None else str(flag)
    if kind is int:
        return _whole(text)
    if kind is float:
        return _number(text)
    return text if kind is Any or (kind is str and text) else None


def _whole(text: str) -> str | None:
    if not WHOLE_NUMBER.fullmatch(text) or len(text) > 40:
        return None
    return str(int(text)) if abs(int(text)) <= LARGEST_NUMBER else None


def _number(text: str) -> str | None:
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        return None
    return text if math.isfinite(number) else None


def _expected(kinds: list[Any], text: str) -> str:
    """Returns in words what a value of these types is."""
    words = [word for kind in kinds for word in _choices(kind)]
    if words:
        numbers = ", or a number" if float in kinds else ""
        none = ", 'None'" if types.NoneType in kinds else ""
        return f"is one of {', '.join(map(repr, words))}{none}{numbers}"
    none = " or None" if types.NoneType in kinds else ""
    if str in kinds:
        return f"needs a value{none}"
    if bool in kinds:
        return f"is true or false{none}"
    if float in kinds:
        return f"is a number{none}"
    is_large = WHOLE_NUMBER.fullmatch(text) is not None
    return f"is a whole number{' below 2**63' if is_large else ''}{none}"


def _choices(kind: Any) -> list[str]:
    is_literal = typing.get_origin(kind) is typing.Literal
    return [str(word) for word in typing.get_args(kind)] if is_literal else []


def _shown(text: str) -> str:
    if len(text) <= LONGEST_SHOWN:
        return repr(text)
    return f"{text[:LONGEST_SHOWN]!r}... of {len(text):,} characters"
