"""Frozen dataclasses to JSON values and back; every error names the field."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jaxlm.errors import ConfigError
from jaxlm.io._fields import INT_LIMIT, check_value, field_types, union_members

RecordType = TypeVar("RecordType")
KIND = "kind"


def record_from_dict(
    kind: type[RecordType], values: Any, name: str = "", *, title: str | None = None
) -> RecordType:
    """Returns an instance of a dataclass made from JSON values; nested dataclasses are made too.

    If a field can hold one of several dataclasses, its JSON value is an object whose entry "kind" names the
    dataclass; the name alone, as a string, stands for that dataclass with its defaults. The kind of a
    dataclass is its attribute `kind`, or, if it has no such attribute, its class name in snake case. JSON
    lists become tuples, and integers become floats for fields of floats.

    If a dataclass has a static method `upgrade(values) -> values`, it is called first, to turn the fields of
    earlier versions into those of today.

    Args:
      kind: the class of the dataclass.
      values: the JSON values by name of the field. A missing field takes its default.
      name: the name, such as "run", that stands in front of the fields' names in error messages. Empty: the
        fields' names stand alone.
      title: the name of the whole record in error messages. None: `name` is used, or the name of the class if
        `name` is empty.

    Raises:
      ConfigError: a field is unknown, or a value is not of its field's type.

    Example:
      >>> import dataclasses
      >>> from jaxlm.io import record_from_dict
      >>> @dataclasses.dataclass(frozen=True)
      ... class Circle:
      ...     radius: float = 1.0
      >>> @dataclasses.dataclass(frozen=True)
      ... class Square:
      ...     side: float = 1.0
      >>> @dataclasses.dataclass(frozen=True)
      ... class Drawing:
      ...     shape: Circle | Square = Circle()
      ...     paths: tuple[str, ...] = ()
      >>> record_from_dict(Drawing, {"shape": {"kind": "square", "side": 2}, "paths": ["a.txt"]})
      Drawing(shape=Square(side=2.0), paths=('a.txt',))
      >>> record_from_dict(Drawing, {"shape": {"kind": "square", "radius": 2}})
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: shape has no field 'radius'; its fields are side
    """
    title = title or name or kind.__name__
    if not isinstance(values, Mapping):
        raise ConfigError(f"{title} is an object of fields: got {values!r}")
    if callable(upgrade := getattr(kind, "upgrade", None)):
        values = upgrade(values)
    hints = field_types(kind)
    unknown = [field for field in values if field not in hints]
    if unknown:
        listed, plural = ", ".join(map(repr, unknown)), "s" if len(unknown) > 1 else ""
        raise ConfigError(f"{title} has no field{plural} {listed}; its fields are {', '.join(hints)}")
    prefix = f"{name}." if name else ""
    return kind(**{field: _decoded(hints[field], value, prefix + field) for field, value in values.items()})


def record_to_dict(record: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass as JSON values, from which `record_from_dict` makes it again.

    The result is that of `dataclasses.asdict`, with an entry "kind" added to each dataclass in a field that
    can hold one of several dataclasses.

    Args:
      record: an instance of a dataclass.

    Example:
      >>> import dataclasses
      >>> from jaxlm.io import record_to_dict
      >>> @dataclasses.dataclass(frozen=True)
      ... class Circle:
      ...     radius: float = 1.0
      >>> @dataclasses.dataclass(frozen=True)
      ... class Square:
      ...     side: float = 1.0
      >>> @dataclasses.dataclass(frozen=True)
      ... class Drawing:
      ...     shape: Circle | Square = Circle()
      >>> record_to_dict(Drawing())
      {'shape': {'kind': 'circle', 'radius': 1.0}}
    """
    hints = field_types(type(record))
    return {name: _encoded(hints[name], getattr(record, name)) for name in hints}


def flat_fields(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a nested dict as a flat one, with dotted names as keys and tuples turned into lists.

    Example:
      >>> from jaxlm.io import flat_fields
      >>> flat_fields({"run": {"seed": 0}, "paths": ("a",)})
      {'run.seed': 0, 'paths': ['a']}
    """
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            fields |= flat_fields(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = list(value) if isinstance(value, tuple) else value
    return fields


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Returns the fields in which two nested dicts differ, as lines "name: value there and value here".

    Args:
      there: a dict of JSON values, possibly nested.
      here: the dict to compare it with. A field that only one of the dicts has counts as a difference.

    Example:
      >>> from jaxlm.io import differences
      >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}})
      ['a.c: 2 and 3', 'a.d: (none) and 4']
    """
    left, right = flat_fields(there), flat_fields(here)
    names = [name for name in {**left, **right} if _shown(left, name) != _shown(right, name)]
    return [f"{name}: {_short(left, name)} and {_short(right, name)}" for name in names]


def _decoded(hint: Any, value: Any, name: str) -> Any:
    """The value of a field, from its JSON value."""
    records, kinds = _record_types(hint), union_members(hint)
    is_name = isinstance(value, str) and len(records) > 1 and str not in kinds
    if records and (isinstance(value, Mapping) or is_name or len(kinds) == 1):
        return _decoded_record(records, value, name)
    value = tuple(value) if isinstance(value, list) else value
    check_value(name, value, hint)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    # A large integer is not converted, because the range check of its field refuses it.
    return (
        float(value) if is_whole and float in kinds and int not in kinds and abs(value) < INT_LIMIT else value
    )


def _decoded_record(records: Sequence[type], value: Any, name: str) -> Any:
    if len(records) == 1:
        return record_from_dict(records[0], value, name)
    kinds = _by_kind(records)
    value = {KIND: value} if isinstance(value, str) else value
    chosen = value.get(KIND) if isinstance(value, Mapping) else None
    if not (isinstance(chosen, str) and chosen in kinds):
        raise ConfigError(f"{name}.{KIND} is one of {', '.join(kinds)}: got {chosen!r}")
    record = kinds[chosen]
    own = {field: inner for field, inner in value.items() if field != KIND or KIND in field_types(record)}
    return record_from_dict(record, own, name)


def _encoded(hint: Any, value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return value
    fields = record_to_dict(value)
    return {KIND: kind_of(type(value)), **fields} if len(_record_types(hint)) > 1 else fields


def _record_types(hint: Any) -> list[type]:
    kinds = (member for member in union_members(hint) if isinstance(member, type))
    return [kind for kind in kinds if dataclasses.is_dataclass(kind)]


def _by_kind(records: Sequence[type]) -> dict[Any, type]:
    return {kind_of(record): record for record in records} if len(records) > 1 else {}


def kind_of(record: type) -> str:
    """Returns the kind of a dataclass in JSON: its attribute `kind`, else its name in snake case.

    Example:
      >>> from jaxlm.io._records import kind_of
      >>> class NoPosition: ...
      >>> kind_of(NoPosition)
      'no_position'
    """
    kind = getattr(record, KIND, None)
    return kind if isinstance(kind, str) else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", record.__name__).lower()


def _shown(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False, default=str) if name in values else "(none)"


def _short(values: Mapping[str, Any], name: str) -> str:
    text = _shown(values, name)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-6:]}"
