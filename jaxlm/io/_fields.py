"""Checks values against the types of a dataclass's fields."""

import dataclasses
import functools
import types
import typing
from collections.abc import Collection, Iterator, Mapping

from jaxlm.errors import ConfigError

# Sizes, counts and ids are below this, so that they fit into the int32 of arrays' indices.
INT_LIMIT = 2**31


def check_numbers(config: typing.Any, prefix: str = "", *, wide: Collection[str] = ()) -> None:
    """Raises an error if a number or bool field of a dataclass has a value of another type.

    Ranges are not checked here; a dataclass checks them itself.

    Args:
      config: an instance of the dataclass.
      prefix: a string in front of the field's name in the message, such as "run.".
      wide: the names of integer fields that may be 2**31 or more; other fields may not.

    Raises:
      ConfigError: a number or bool field has a value of another type; the message names the first such field.

    Example:
      >>> import dataclasses
      >>> from jaxlm.io import check_numbers
      >>> @dataclasses.dataclass
      ... class Run:
      ...     steps: int = 1
      >>> check_numbers(Run(steps=10.5), "run.")
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: run.steps must be int: got 10.5
    """
    hints = field_types(type(config))
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if {bool, int, float} & set(_kinds(hint)):
            value = getattr(config, field.name)
            _check(prefix + field.name, value, hint, is_wide=field.name in wide)


def check_types(kind: type, values: Mapping[str, typing.Any], prefix: str = "") -> None:
    """Raises an error if a value does not have the type of its field, or is none of the field's choices.

    Args:
      kind: the class of the dataclass, whose annotations give the types and choices (`Literal`).
      values: the values to check, by name of the field.
      prefix: a string in front of the field's name in the message, such as "run.".

    Raises:
      ConfigError: a value is not of its field's type, or an integer is 2**31 or more; the message names the
        first such field.

    Example:
      >>> import dataclasses
      >>> from jaxlm.io import check_types
      >>> @dataclasses.dataclass
      ... class Run:
      ...     steps: int = 1
      >>> check_types(Run, {"steps": "many"}, "run.")
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: run.steps must be int: got 'many'
    """
    for name, value in values.items():
        _check(prefix + name, value, field_types(kind)[name])


@functools.cache
def field_types(kind: type) -> dict[str, typing.Any]:
    """Returns the types of a dataclass's fields, by name."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def matches_type(value: typing.Any, hint: typing.Any) -> bool:
    """Returns whether a value has the type that an annotation names, or is one of its choices.

    Unlike in Python, a bool is no int here. An int is accepted for a float, as in JSON.

    Example:
      >>> from jaxlm.io import matches_type
      >>> matches_type(True, int), matches_type(3, float), matches_type((1, 2.5), tuple[int, ...])
      (False, True, False)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return any(matches_type(value, kind) for kind in inner)
    if origin is typing.Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        return isinstance(value, (tuple, list)) and _all_fit(value, inner)
    if isinstance(value, bool):
        return hint in (bool, typing.Any)
    return hint is typing.Any or isinstance(value, (int, float) if hint is float else origin or hint)


def type_name(hint: typing.Any) -> str:
    """Returns the name of a type annotation as error messages show it.

    Example:
      >>> import typing
      >>> from jaxlm.io import type_name
      >>> type_name(int | None), type_name(typing.Literal["a", "b"])
      ('int or None', 'one of a, b')
    """
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(inner)}"
    if typing.get_origin(hint) is tuple:
        each = inner[:1] if inner[-1] is ... else inner
        return f"a tuple of {' and '.join(map(type_name, each))}"
    if _is_union(hint):
        return " or ".join(map(type_name, inner))
    return "None" if hint is types.NoneType else getattr(hint, "__name__", str(hint))


def union_members(hint: typing.Any) -> tuple[typing.Any, ...]:
    """Returns the members of a union; for any other type, the type itself.

    Example:
      >>> from jaxlm.io._fields import union_members
      >>> union_members(int | None), union_members(int)
      ((<class 'int'>, <class 'NoneType'>), (<class 'int'>,))
    """
    return typing.get_args(hint) if _is_union(hint) else (hint,)


def check_value(name: str, value: typing.Any, hint: typing.Any) -> None:
    """Raises an error if a value is not of a field's type or choices.

    Args:
      name: the field, for the message.
      value: of any type.
      hint: the field's type.

    Raises:
      ConfigError: names the field.
    """
    if not matches_type(value, hint):
        raise ConfigError(f"{name} must be {type_name(hint)}: got {value!r}")


def _check(name: str, value: typing.Any, hint: typing.Any, *, is_wide: bool = False) -> None:
    check_value(name, value, hint)
    if not is_wide and isinstance(value, int) and abs(value) >= INT_LIMIT:
        raise ConfigError(f"{name} must be below 2**31: got {value}")


def _all_fit(values: typing.Any, kinds: tuple[typing.Any, ...]) -> bool:
    """Whether the items of a tuple are of their types; `tuple[int, ...]` has any number of items."""
    kinds = kinds[:1] * len(values) if kinds[-1] is ... else kinds
    return len(values) == len(kinds) and all(map(matches_type, values, kinds))


def _kinds(hint: typing.Any) -> Iterator[typing.Any]:
    """The types inside of unions and tuples."""
    if _is_union(hint) or typing.get_origin(hint) is tuple:
        for inner in typing.get_args(hint):
            yield from _kinds(inner)
    else:
        yield hint


def _is_union(hint: typing.Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)
