"""Checks that the records of a config share, and the record of a name."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm import io
from jaxlm.errors import ConfigError


def check_positive(record: Any, names: Sequence[str], prefix: str = "") -> None:
    """Refuses fields that are not positive and finite; None is allowed.

    Args:
      record: a dataclass.
      names: its fields to check.
      prefix: of the fields' names in messages.

    Raises:
      ConfigError: with the field and its value.
    """
    for name in names:
        value = getattr(record, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{prefix}{name} must be positive: got {value}")


def check_limits(record: Any, most: Mapping[str, int], prefix: str = "") -> None:
    """Refuses fields above a limit; None is allowed.

    Args:
      record: a dataclass.
      most: limits by field.
      prefix: of the fields' names in messages.

    Raises:
      ConfigError: with the field and its value.
    """
    for name, limit in most.items():
        value = getattr(record, name)
        if value is not None and value > limit:
            raise ConfigError(f"{prefix}{name} must be at most {limit:,}: got {value:,}")


def check_record(record: Any, prefix: str, *, positive: Sequence[str] = ()) -> None:
    """Refuses fields of a wrong type, and fields that must be positive and are not.

    Args:
      record: a dataclass.
      prefix: of the fields' names in messages.
      positive: the fields that must be positive.

    Example:
      >>> from jaxlm.models._position import Rotary
      >>> Rotary(base=-1.0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: position.base must be positive: got -1.0
    """
    io.check_types(type(record), vars(record), prefix)
    check_positive(record, positive, prefix)


def record_kinds(hint: Any) -> dict[str, type]:
    """Returns the records of a field's type, a union, by their `kind`; empty for other types.

    Example:
      >>> from jaxlm.models._record_checks import record_kinds
      >>> from jaxlm.models._config_parts import Head
      >>> list(record_kinds(Head))
      ['transform', 'linear']
    """
    records = [
        record
        for record in typing.get_args(hint)
        if isinstance(record, type) and dataclasses.is_dataclass(record)
    ]
    return {name: record for record in records if (name := getattr(record, "kind", None)) is not None}


def named_record(hint: Any, value: Any, name: str) -> Any:
    """Returns the record of a field; a name stands for the record of that kind with its defaults.

    Args:
      hint: the field's type, a union of records.
      value: a record, or the name of one.
      name: of the field, for messages.

    Raises:
      ConfigError: if the value is neither.

    Example:
      >>> from jaxlm.models._record_checks import named_record
      >>> from jaxlm.models._config_parts import Head
      >>> named_record(Head, "linear", "head")
      LinearHead()
    """
    kinds = record_kinds(hint)
    if isinstance(value, str) and value in kinds:
        return kinds[value]()
    if not isinstance(value, tuple(kinds.values())):
        raise ConfigError(f"{name} must be one of {', '.join(kinds)}: got {value!r}")
    return value
