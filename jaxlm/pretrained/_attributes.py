"""Attributes of a Hugging Face config.json: which are fields of ours, which are refused, which unknown."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_type_hints

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._dotted_fields import NO_FIELD, field_of
from jaxlm.pretrained._known_names import INERT, OF_CODE, PLAIN


class UnsupportedError(ModelError):
    """Attributes that have no equal here, each told in a few words."""

    def __init__(self, told: Sequence[str]) -> None:
        super().__init__(f"attributes that are not supported: {', '.join(told)}")
        self.told = tuple(told)


class Attribute(NamedTuple):
    """One attribute and the fields of `TransformerConfig` that it is.

    Attributes:
      theirs: its name in config.json.
      ours: the fields that take its value, dotted in a record of the config; written from the last of them.
      default: what transformers takes where a file leaves it out.
      codes: their values and ours, where these differ.
    """

    theirs: str
    ours: tuple[str, ...]
    default: Any
    codes: Mapping[Any, Any] | None = None


def read_attributes(values: Mapping[str, Any], attributes: Collection[Attribute]) -> dict[str, Any]:
    """Returns the fields that the attributes say.

    Raises:
      UnsupportedError: one line that names each attribute with a value that has no equal here.

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
    """Returns the classes of transformers that a config.json names; what is no name counts for nothing.

    Example:
      >>> from jaxlm.pretrained._attributes import architecture_names
      >>> architecture_names({"architectures": ["BertModel"]}), architecture_names({"architectures": "BertModel"})
      (['BertModel'], ['BertModel'])
      >>> architecture_names({"architectures": True}), architecture_names({})
      ([], [])
    """
    told = values.get("architectures")
    told = told if isinstance(told, list | tuple) else [told]
    return [name for name in told if isinstance(name, str)]


def plain_number(value: Any) -> Any:
    """Returns a number that JSON has no word for, as transformers writes it; any other value as it is.

    Example:
      >>> from jaxlm.pretrained._attributes import plain_number
      >>> plain_number({"__float__": "Infinity"}), number({"factor": 2.0})
      (inf, {'factor': 2.0})
    """
    word = value.get("__float__") if isinstance(value, Mapping) and len(value) == 1 else None
    return float(word) if word in ("Infinity", "-Infinity", "NaN") else value


def _may_be_null(attribute: Attribute) -> bool:
    """Whether null is a value of its own; else it stands for the default."""
    if attribute.codes is not None:
        return None in attribute.codes
    return type(None) in get_args(_type_of(attribute.ours[0]))


def _type_of(field: str) -> Any:
    """The type of a field by its dotted name, of whichever kind a record may be that has it."""
    outer, _, inner = field.rpartition(".")
    kinds = get_args(_type_of(outer)) if outer else (models.TransformerConfig,)
    hints: dict[str, Any] = {}
    for kind in kinds:
        hints |= get_type_hints(kind) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else {}
    return hints[inner]


def write_attributes(config: models.TransformerConfig, attributes: Collection[Attribute]) -> dict[str, Any]:
    """Returns the attributes that say a config's fields.

    One without a word for its field is left out, as is one whose record the config has not.

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
            words = [word for word, code in codes.items() if code == value]
            if not words:
                continue
            value = words[0]
        values[theirs] = value
    return values


def check_attributes(values: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuses attributes that may have some values and have another.

    Args:
      values: config.json.
      only: by name the values that an attribute may have, besides those of `PLAIN`.

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
    """Returns the names that nothing reads, neither here nor in transformers.

    Args:
      values: config.json.
      known: the family's own.

    Example:
      >>> from jaxlm.pretrained._attributes import unknown_names
      >>> unknown_names({"n_embd": 64, "unsloth_fixed": True, "use_cache": True}, {"n_embd"})
      ['unsloth_fixed']
    """
    every = {*known, *INERT, *PLAIN, *OF_CODE}
    return [name if name.isprintable() else repr(name) for name in values if name not in every]


def raise_unsupported(told: Sequence[str]) -> None:
    """Raises the one-line error of what is not supported, if anything is.

    Example:
      >>> from jaxlm.pretrained._attributes import raise_unsupported
      >>> raise_unsupported(["bits=4", "chunks=3"])
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: attributes that are not supported: bits=4, chunks=3
    """
    if told:
        raise UnsupportedError(told)


def collect_errors(steps: Sequence[Callable[[], Mapping[str, Any] | None]]) -> dict[str, Any]:
    """Returns what all steps say together; what any of them refuses is refused together.

    Example:
      >>> from jaxlm.pretrained._attributes import collect_errors
      >>> collect_errors([lambda: {"width": 64}, lambda: None, lambda: {"depth": 2}])
      {'width': 64, 'depth': 2}
    """
    fields, told = {}, []
    for step in steps:
        try:
            fields |= step() or {}
        except UnsupportedError as error:
            told += error.told
    raise_unsupported(told)
    return fields
