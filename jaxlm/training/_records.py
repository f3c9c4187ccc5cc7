"""Frozen dataclasses from JSON values, with the field named in every refusal."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from jaxlm.errors import ConfigError

RecordType = TypeVar("RecordType")


def record_from_dict(kind: type[RecordType], values: Any, name: str = "") -> RecordType:
    """Returns a dataclass filled from JSON values, nested dataclasses included.

    Args:
      kind: the dataclass.
      values: by field; what is not given takes its default.
      name: what the refusals call it; empty for the outermost.

    Raises:
      ConfigError: if a field is unknown or a value is of another type than the field's.

    Example:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Run:
      ...     paths: tuple[str, ...] = ()
      >>> record_from_dict(Run, {"paths": ["a.txt"]})
      Run(paths=('a.txt',))
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name or kind.__name__} is an object of fields, got {values!r}")
    hints = {field.name: _hints(kind)[field.name] for field in dataclasses.fields(kind) if field.init}
    for field in values:
        if field not in hints:
            known = ", ".join(hints)
            raise ConfigError(f"{name or kind.__name__} has no field {field!r}; its fields are {known}")
    dotted = f"{name}." if name else ""
    return kind(**{field: _value(hints[field], value, dotted + field) for field, value in values.items()})


def first_differences(first: Mapping[str, Any], second: Mapping[str, Any], most: int = 3) -> list[str]:
    """Returns lines "a.b: 1 and 2" for the first fields in which two nested records differ.

    Example:
      >>> first_differences({"run": {"seed": 0, "steps": 5}}, {"run": {"seed": 1, "steps": 5}})
      ['run.seed: 0 and 1']
    """
    left, right = flat_fields(first), flat_fields(second)
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return [f"{name}: {left.get(name)!r} and {right.get(name)!r}" for name in names[:most]]


def flat_fields(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested fields by dotted name, tuples as lists, as JSON has them."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            fields |= flat_fields(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = list(value) if isinstance(value, tuple) else value
    return fields


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any, name: str) -> Any:
    records = [one for one in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(one)]
    if len(records) > 1 and isinstance(value, Mapping):
        return _of_kind(records, value, name)
    if len(records) > 1 and isinstance(value, str):
        return _of_kind(records, {"kind": value}, name)
    if dataclasses.is_dataclass(hint) or (records and value is not None):
        return record_from_dict(records[0], value, name)
    value = tuple(value) if isinstance(value, list) else value
    if not _fits(hint, value):
        raise ConfigError(f"{name} is {_said(hint)}, got {value!r}")
    return float(value) if hint is float else value


def _of_kind(records: list[Any], value: Mapping[str, Any], name: str) -> Any:
    """One of several dataclasses, told by its kind."""
    kinds = {record.kind: record for record in records}
    options = {field: inner for field, inner in value.items() if field != "kind"}
    told = value.get("kind")
    if not isinstance(told, str) or told not in kinds:
        raise ConfigError(f"{name}.kind is one of {', '.join(map(repr, kinds))}, got {told!r}")
    return record_from_dict(kinds[told], options, name)


def _fits(hint: Any, value: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(_fits(argument, value) for argument in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(arguments[0], item) for item in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)


def _said(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_said(argument) for argument in arguments)
    if origin is tuple:
        return f"a list of {_said(arguments[0])}"
    return "null" if hint is types.NoneType else getattr(hint, "__name__", str(hint))
