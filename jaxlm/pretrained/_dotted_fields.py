"""Fields of a config by dotted name, "position.base", as in the families' tables."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models

# Returned for a field of a record that the config does not have.
NO_FIELD = object()


def nested_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested values from fields by dotted name; undoes `io.flat_fields`.

    Example:
      >>> from jaxlm.pretrained._dotted_fields import nested_fields
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
    """Returns the value of a config's field by dotted name; `NO_FIELD` if the config has no such record.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.pretrained._dotted_fields import field_of
      >>> field_of(models.TransformerConfig(position="rotary"), "position.base")
      10000.0
    """
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part, NO_FIELD)
    return value
