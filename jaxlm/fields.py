"""The numbers in the fields of configs, held against the fields' types; no JAX."""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator

from jaxlm.errors import ConfigError

# What sizes, counts and ids fit in: the whole numbers of arrays' indices.
BELOW = 2**31


def check_numbers(config: typing.Any, prefix: str = "", *, wide: Collection[str] = ()) -> None:
    """Refuses a value of a dataclass's field of numbers or of True and False that is of another type.

    Ranges are the dataclass's own: they refuse what is not a number.

    Args:
      config: an instance.
      prefix: what the refusal puts before the field's name.
      wide: fields of whole numbers that may be 2**31 and more.

    Raises:
      ConfigError: naming the first such field.

    Example:
      >>> @dataclasses.dataclass
      ... class Run:
      ...     steps: int = 1
      >>> check_numbers(Run(steps=10.5), "run.")
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: run.steps must be int: got 10.5
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        name, hint, value = field.name, hints[field.name], getattr(config, field.name)
        if not {bool, int, float} & set(_kinds(hint)):
            continue
        if not fits(value, hint):
            raise ConfigError(f"{prefix}{name} must be {spelled(hint)}: got {value!r}")
        if name not in wide and isinstance(value, int) and abs(value) >= BELOW:
            raise ConfigError(f"{prefix}{name} must be below 2**31: got {value}")


def fits(value: typing.Any, hint: typing.Any) -> bool:
    """Returns whether a value is of a field's type or choices.

    To Python a bool is an int; here it is not. A whole number where a float is asked for is fine, as in JSON.

    Example:
      >>> fits(True, int), fits(3, float), fits((1, 2.5), tuple[int, ...])
      (False, True, False)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return any(fits(value, kind) for kind in inner)
    if origin is typing.Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        return isinstance(value, (tuple, list)) and all(fits(one, inner[0]) for one in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def spelled(hint: typing.Any) -> str:
    """Returns a type in words.

    Example:
      >>> spelled(int | None), spelled(typing.Literal["a", "b"])
      ('int or None', 'one of a, b')
    """
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(inner)}"
    if typing.get_origin(hint) is tuple:
        return f"a tuple of {spelled(inner[0])}"
    if _is_union(hint):
        return " or ".join(map(spelled, inner))
    return "None" if hint is types.NoneType else hint.__name__


def _kinds(hint: typing.Any) -> Iterator[typing.Any]:
    """The types that a value may be of, or the values that it may hold."""
    if _is_union(hint) or typing.get_origin(hint) is tuple:
        for inner in typing.get_args(hint):
            yield from _kinds(inner)
    else:
        yield hint


def _is_union(hint: typing.Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)
