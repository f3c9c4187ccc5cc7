"""Fields of a config by dotted name, "position.base", as the families' tables call them."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models

# What a config has where it has not even the record that a field is of.
NO_FIELD = object()


def dotted_fields(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the plain values of records by dotted name; undone by `nested_fields`.

    Example:
      >>> dotted_fields({"width": 64, "position": {"kind": "learned", "offset": 2}})
      {'width': 64, 'position.kind': 'learned', 'position.offset': 2}
    """
    fields: dict[str, Any] = {}
    for name, value in values.items():
        is_record = isinstance(value, Mapping)
        fields |= dotted_fields(value, f"{prefix}{name}.") if is_record else {prefix + name: value}
    return fields


def nested_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields by dotted name as the plain values of records.

    Example:
      >>> nested_fields({"width": 64, "position.kind": "learned", "position.offset": 2})
      {'width': 64, 'position': {'kind': 'learned', 'offset': 2}}
    """
    values: dict[str, Any] = {}
    for name, value in fields.items():
        *outer, last = name.split(".")
        record = values
        for part in outer:
            record = record.setdefault(part, {})
        record[last] = value
    return values


def field_of(config: models.TransformerConfig, field: str) -> Any:
    """Returns what a config has in a field by its dotted name, and a mark where it has no such record.

    Example:
      >>> field_of(models.TransformerConfig(position="rotary"), "position.base")
      10000.0
    """
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part, NO_FIELD)
    return value
