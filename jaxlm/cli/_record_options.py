"""Options of fields that hold one of several records: `--model.position rotary --model.position.base 5e5`.

A parser would make a command of each record. Here the dataclasses are laid out in plain options, those of all
kinds beside the one that chooses the kind, and what was given is put together to records again.
"""

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from tyro.conf import arg

from jaxlm.cli._failures import UsageError

# What the options of a field's records are called beside the field, in the dataclass that is laid out.
RECORD_SUFFIX = "_options"


@functools.cache
def flat_options(kind: type) -> type:
    """Returns a dataclass of options for a dataclass: itself where none of its fields holds records.

    Example:
      >>> from jaxlm.models import TransformerConfig
      >>> options = flat_options(TransformerConfig)(position="relative")
      >>> options.position, options.position_options.buckets, options.position_options.base
      ('relative', 32, 10000.0)
    """
    fields = [one for field in dataclasses.fields(kind) for one in _fields_of(kind, field)]
    hints = typing.get_type_hints(kind, include_extras=True)
    if [(name, hint) for name, hint, _ in fields] == [
        (name, hints[name]) for name, *_ in fields if name in hints
    ]:
        return kind
    return _dataclass(kind.__name__, kind.__doc__, fields)


def flat_value(value: Any) -> Any:
    """Returns an instance as one of `flat_options`; options of kinds that it has not have their defaults."""
    kind = type(value)
    if flat_options(kind) is kind:
        return value
    values: dict[str, Any] = {}
    for name, hint in _hints(kind).items():
        own, records = getattr(value, name), _records(hint)
        if records:
            values |= {name: own.kind} if _has_kinds(hint) else {}
            options = _options_kind(records)
            told = {} if own is None else _own_options(own)
            values[name + RECORD_SUFFIX] = options(**told)
        else:
            values[name] = flat_value(own) if dataclasses.is_dataclass(hint) else own
    return flat_options(kind)(**values)


def nested_from_flat(
    kind: type, options: Any, given: Collection[str], default: Any = None, prefix: str = "--"
) -> Any:
    """Returns the instance of a dataclass that its options say; undoes `flat_value`.

    Args:
      kind: the dataclass.
      options: of `flat_options(kind)`.
      given: full names of the options that were given; of a record the others stay as they are in
        `default`, if that is of the same kind, and are the kind's own defaults otherwise.
      default: an instance; None: the dataclass's own defaults.
      prefix: of the options' names.

    Raises:
      UsageError: if an option was given that the chosen record has not.
    """
    if flat_options(kind) is kind:
        return options
    values: dict[str, Any] = {}
    for name, hint in _hints(kind).items():
        own, label = getattr(default, name, None), _label(kind, name)
        inner = f"{prefix}{label}." if label else prefix
        if _records(hint):
            chosen = getattr(options, name, None)
            values[name] = _record(hint, chosen, getattr(options, name + RECORD_SUFFIX), given, own, inner)
        elif dataclasses.is_dataclass(hint):
            values[name] = nested_from_flat(hint, getattr(options, name), given, own, inner)
        else:
            values[name] = getattr(options, name)
    return kind(**values)


def _record(
    hint: Any, chosen: str | None, options: Any, given: Collection[str], default: Any, prefix: str
) -> Any:
    """One of several records, or the one that may be there or not."""
    records = _records(hint)
    own = [name for name in given if name.startswith(prefix.replace("_", "-"))]
    if chosen is None and not own:
        return default
    record = next(one for one in records if chosen is None or one.kind == chosen)
    start = default if isinstance(default, record) else record()
    values: dict[str, Any] = {}
    for name in {field.name: None for one in records for field in dataclasses.fields(one)}:
        inner = f"{prefix}{name}".replace("_", "-")
        told = [one for one in own if one == inner or one.startswith(f"{inner}.")]
        if told and not hasattr(record, name):
            raise UsageError(f"{told[0]} would change nothing: {_owner(records, name, prefix, chosen)}")
        if not told:
            continue
        inner_hint, value = typing.get_type_hints(record)[name], getattr(options, name)
        if _records(inner_hint):
            beside = getattr(options, name + RECORD_SUFFIX)
            value = _record(inner_hint, value, beside, given, getattr(start, name), f"{inner}.")
        values[name] = value
    return dataclasses.replace(start, **values)


def _owner(records: Collection[type], name: str, prefix: str, chosen: str | None) -> str:
    kinds = " or ".join(repr(one.kind) for one in records if hasattr(one, name))
    field = prefix.removeprefix("--").removesuffix(".").replace("-", "_")
    return f"it is of {field}={kinds}, and {field} is {chosen!r}"


def _fields_of(kind: type, field: dataclasses.Field[Any]) -> list[tuple[str, Any, Any]]:
    """A field as name, type and default, and the options of its records behind it."""
    hint = typing.get_type_hints(kind, include_extras=True)[field.name]
    plain, records = _hints(kind)[field.name], _records(_hints(kind)[field.name])
    default = _default(field)
    if records:
        options = _options_kind(records)
        beside = (field.name + RECORD_SUFFIX, Annotated[options, arg(name=field.name)], options())
        kinds = Literal[tuple(record.kind for record in records)] if _has_kinds(plain) else None
        return [*([(field.name, kinds, getattr(default, "kind", default))] if kinds else []), beside]
    if not dataclasses.is_dataclass(plain):
        return [(field.name, hint, field)]
    inner, marks = flat_options(plain), getattr(hint, "__metadata__", ())
    if inner is plain:
        return [(field.name, hint, field)]
    return [(field.name, Annotated[inner, *marks] if marks else inner, flat_value(default))]


@functools.cache
def _options_kind(records: tuple[type, ...]) -> type:
    """A dataclass of all fields of some records."""
    fields: dict[str, tuple[str, Any, Any]] = {}
    told: dict[str, str] = {}
    for record in records:
        for field in dataclasses.fields(record):
            if field.name not in told:
                owners = [one.kind for one in records if len(records) > 1 and hasattr(one, field.name)]
                own = f"of {_listed(owners)}: " if owners else ""
                told[field.name] = own + attribute_texts(record).get(field.name, "")
                fields |= {name: (name, *rest) for name, *rest in _fields_of(record, field)}
    lines = "".join(f"    {name}: {text}\n" for name, text in told.items())
    doc = (
        "Options of one kind each, or of several." if len(records) > 1 else records[0].__doc__.splitlines()[0]
    )
    return _dataclass("Options", f"{doc}\n\nAttributes:\n{lines}", list(fields.values()))


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def attribute_texts(kind: type) -> Mapping[str, str]:
    """Returns what a dataclass's docstring says of each attribute, in one line each.

    Example:
      >>> from jaxlm.models import Learned
      >>> attribute_texts(Learned)
      {'offset': 'rows of the table before the row of position 0.'}
    """
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    parts = re.split(r"(?m)^  (\w+): ", text)
    return {name: " ".join(words.split()) for name, words in zip(parts[1::2], parts[2::2], strict=True)}


def _dataclass(name: str, doc: str | None, fields: list[tuple[str, Any, Any]]) -> type:
    made = []
    for field_name, hint, default in fields:
        if isinstance(default, dataclasses.Field):
            copy = {"default": default.default, "default_factory": default.default_factory}
            given = {key: value for key, value in copy.items() if value is not dataclasses.MISSING}
            made.append((field_name, hint, dataclasses.field(**given)))
        else:
            made.append((field_name, hint, dataclasses.field(default=default)))
    return dataclasses.make_dataclass(name, made, frozen=True, kw_only=True, namespace={"__doc__": doc})


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _own_options(record: Any) -> dict[str, Any]:
    """The fields of a record as options, those of a record inside it beside its kind."""
    values: dict[str, Any] = {}
    for name, hint in _hints(type(record)).items():
        own = getattr(record, name)
        if _records(hint):
            values |= {
                name: own.kind,
                name + RECORD_SUFFIX: _options_kind(_records(hint))(**_own_options(own)),
            }
        else:
            values[name] = own
    return values


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of the fields that a dataclass is made of, without marks."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _records(hint: Any) -> tuple[type, ...]:
    """The dataclasses among the types of a union; none of anything else."""
    kinds = typing.get_args(hint)
    records = tuple(one for one in kinds if dataclasses.is_dataclass(one))
    others = [one for one in kinds if one not in records]
    # Their names may stand for them, and None for none; what else is there is no choice between records.
    is_choice = all(one is types.NoneType or typing.get_origin(one) is Literal for one in others)
    return records if is_choice else ()


def _has_kinds(hint: Any) -> bool:
    return len(_records(hint)) > 1


def _label(kind: type, name: str) -> str:
    """What an option's name has for a field: the field's name, or what a mark says in its place."""
    marks = getattr(typing.get_type_hints(kind, include_extras=True)[name], "__metadata__", ())
    return next((mark.name for mark in marks if getattr(mark, "name", None) is not None), name)
