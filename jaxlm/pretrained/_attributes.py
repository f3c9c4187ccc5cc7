"""Attributes of a Hugging Face config.json: which are fields of ours, which are refused or unknown."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_type_hints

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._dotted_fields import NO_FIELD, field_of
from jaxlm.pretrained._known_names import INERT, OF_CODE, PLAIN


class UnsupportedError(ModelError):
    """A config.json has attributes that are not supported.

    Attributes:
      attributes: a few words on each of them.
    """

    def __init__(self, attributes: Sequence[str]) -> None:
        super().__init__(f"attributes that are not supported: {', '.join(attributes)}")
        self.attributes = tuple(attributes)


class Attribute(NamedTuple):
    """An attribute of config.json, and the fields of `TransformerConfig` that have its value.

    Attributes:
      theirs: its name in config.json.
      ours: the fields by dotted name; the attribute is written from the last of them.
      default: the value that transformers takes if a file leaves the attribute out.
      codes: by value in config.json our value, if the two differ.
    """

    theirs: str
    ours: tuple[str, ...]
    default: Any
    codes: Mapping[Any, Any] | None = None


def read_attributes(values: Mapping[str, Any], attributes: Collection[Attribute]) -> dict[str, Any]:
    """Returns fields of `TransformerConfig` with the values of a config.json.

    Args:
      values: config.json.
      attributes: the family's attributes.

    Raises:
      UnsupportedError: one line that names every attribute whose value is not supported.

    Example:
      >>> from jaxlm.pretrained._attributes import Attribute, read_attributes
      >>> read_attributes({"n_embd": 64}, [Attribute("n_embd", ("width",), 768)])
      {'width': 64}
    """
    fields, refused = {}, []
    for attribute in attributes:
        value = values.get(attribute.theirs, attribute.default)
        if value is None and not _may_be_null(attribute):
            value = attribute.default
        if attribute.codes is not None:
            if not isinstance(value, str | int | float | None) or value not in attribute.codes:
                known = ", ".join(map(repr, attribute.codes))
                refused.append(f"{attribute.theirs}={value!r} (known are {known})")
                continue
            value = attribute.codes[value]
        fields |= dict.fromkeys(attribute.ours, value)
    raise_unsupported(refused)
    return fields


def architecture_names(values: Mapping[str, Any]) -> list[str]:
    """Returns the names of transformers' classes in a config.json; anything but a name is ignored.

    Example:
      >>> from jaxlm.pretrained._attributes import architecture_names
      >>> [architecture_names({"architectures": names}) for names in (["BertModel"], "BertModel", True)]
      [['BertModel'], ['BertModel'], []]
    """
    names = values.get("architectures")
    names = names if isinstance(names, list | tuple) else [names]
    return [name for name in names if isinstance(name, str)]


def plain_number(value: Any) -> Any:
    """Returns the float of what transformers writes for infinity or NaN; any other value unchanged.

    Example:
      >>> from jaxlm.pretrained._attributes import plain_number
      >>> plain_number({"__float__": "Infinity"}), plain_number({"factor": 2.0})
      (inf, {'factor': 2.0})
    """
    word = value.get("__float__") if isinstance(value, Mapping) and len(value) == 1 else None
    return float(word) if word in ("Infinity", "-Infinity", "NaN") else value


def _may_be_null(attribute: Attribute) -> bool:
    """Whether null is a value of the attribute; otherwise it means the default."""
    if attribute.codes is not None:
        return None in attribute.codes
    return type(None) in get_args(_type_of(attribute.ours[0]))


def _type_of(field: str) -> Any:
    """The type of a field by its dotted name; the records that hold it may be of several types."""
    outer, _, inner = field.rpartition(".")
    kinds = get_args(_type_of(outer)) if outer else (models.TransformerConfig,)
    hints: dict[str, Any] = {}
    for kind in kinds:
        hints |= get_type_hints(kind) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else {}
    return hints[inner]


def write_attributes(config: models.TransformerConfig, attributes: Collection[Attribute]) -> dict[str, Any]:
    """Returns the attributes with the values of a config's fields.

    An attribute is left out if it has no value for that of the field, or if the config has no such record.

    Args:
      config: of a model.
      attributes: the family's attributes.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.pretrained._attributes import Attribute, write_attributes
      >>> write_attributes(models.TransformerConfig(width=64), [Attribute("n_embd", ("width",), 768)])
      {'n_embd': 64}
    """
    values = {}
    for theirs, ours, _, codes in attributes:
        value = field_of(config, ours[-1])
        if value is NO_FIELD:
            continue
        if codes is not None:
            names = [name for name, code in codes.items() if code == value]
            if not names:
                continue
            value = names[0]
        values[theirs] = value
    return values


def check_attributes(values: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises an error if an attribute has a value that is not supported.

    Args:
      values: config.json.
      only: by attribute, the values that are supported; `PLAIN` has those of every family.

    Raises:
      UnsupportedError: one line that names them all.

    Example:
      >>> from jaxlm.pretrained._attributes import check_attributes
      >>> check_attributes({"is_decoder": True, "tails": 2}, {"is_decoder": (False, None)})
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: ...: is_decoder=True (only False or None)
    """
    rules = {**PLAIN, **only}
    refused = [
        f"{name}={value!r} (only {' or '.join(map(repr, rules[name]))})"
        for name, value in values.items()
        if name in rules and value not in rules[name]
    ]
    raise_unsupported(refused + [f"{name}={value!r}" for name, value in values.items() if name in OF_CODE])


def unknown_names(values: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """Returns the names that neither jaxlm nor transformers reads.

    Args:
      values: config.json.
      known: the names that the family reads.

    Example:
      >>> from jaxlm.pretrained._attributes import unknown_names
      >>> unknown_names({"n_embd": 64, "unsloth_fixed": True, "use_cache": True}, {"n_embd"})
      ['unsloth_fixed']
    """
    every = {*known, *INERT, *PLAIN, *OF_CODE}
    return [name if name.isprintable() else repr(name) for name in values if name not in every]


def raise_unsupported(attributes: Sequence[str]) -> None:
    """Raises an error that names attributes which are not supported, if there are any.

    Args:
      attributes: a few words on each of them.

    Raises:
      UnsupportedError: there is at least one.

    Example:
      >>> from jaxlm.pretrained._attributes import raise_unsupported
      >>> raise_unsupported(["bits=4", "chunks=3"])
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: attributes that are not supported: bits=4, chunks=3
    """
    if attributes:
        raise UnsupportedError(attributes)


def collect_errors(steps: Sequence[Callable[[], Mapping[str, Any] | None]]) -> dict[str, Any]:
    """Returns the fields of all steps, and raises one error for everything that the steps refuse.

    Args:
      steps: functions that return fields or None.

    Raises:
      UnsupportedError: a step raised it; names the attributes of all steps.

    Example:
      >>> from jaxlm.pretrained._attributes import collect_errors
      >>> collect_errors([lambda: {"width": 64}, lambda: None, lambda: {"depth": 2}])
      {'width': 64, 'depth': 2}
    """
    fields, unsupported = {}, []
    for step in steps:
        try:
            fields |= step() or {}
        except UnsupportedError as error:
            unsupported += error.attributes
    raise_unsupported(unsupported)
    return fields
