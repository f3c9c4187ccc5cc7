"""Options of fields that hold one of several records: `--model.position rotary --model.position.base 5e5`.

The parser would make each record a command of its own. Here such a field becomes flat options: one that
chooses the kind of record, and the fields of all kinds. The given options are turned into records again.
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

# The flat dataclass has a field NAME for the kind of record, and NAME_options for the fields of all kinds.
RECORD_SUFFIX = "_options"


@functools.cache
def flat_options(kind: type) -> type:
    """Returns the flat dataclass of options for a dataclass; the same one if no field holds records.

    Example:
      >>> from jaxlm.cli._record_options import flat_options
      >>> from jaxlm.models import TransformerConfig
      >>> options = flat_options(TransformerConfig)(position="relative")
      >>> options.position, options.position_options.buckets, options.position_options.base
      ('relative', 32, 10000.0)
    """
    fields = [flat for field in dataclasses.fields(kind) for flat in _fields_of(kind, field)]
    hints = typing.get_type_hints(kind, include_extras=True)
    if [(name, hint) for name, hint, _ in fields] == [
        (name, hints[name]) for name, *_ in fields if name in hints
    ]:
        return kind
    return _dataclass(kind.__name__, kind.__doc__, fields)


def flat_value(value: Any) -> Any:
    """Returns an instance as flat options; the options of other kinds of record have their defaults."""
    kind = type(value)
    if flat_options(kind) is kind:
        return value
    values: dict[str, Any] = {}
    for name, hint in _hints(kind).items():
        own, records = getattr(value, name), _records(hint)
        if records:
            values |= {name: own.kind} if _has_kinds(hint) else {}
            given = {} if own is None else _own_options(own)
            values[name + RECORD_SUFFIX] = _options_kind(records)(**given)
        else:
            values[name] = flat_value(own) if dataclasses.is_dataclass(hint) else own
    return flat_options(kind)(**values)


def nested_from_flat(
    kind: type, options: Any, given: Collection[str], default: Any = None, prefix: str = "--"
) -> Any:
    """Returns the instance of a dataclass that flat options describe: the inverse of `flat_value`.

    Args:
      kind: the dataclass.
      options: an instance of `flat_options(kind)`.
      given: full names of the options that were given. A record's other fields are those of `default`, if
        that has a record of the same kind, and the kind's own defaults otherwise.
      default: an instance; None: the dataclass's own defaults.
      prefix: what the options' names begin with.

    Raises:
      UsageError: if an option was given that the chosen record does not have.
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
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            values[name] = nested_from_flat(hint, getattr(options, name), given, own, inner)
        else:
            values[name] = getattr(options, name)
    return kind(**values)


def _record(
    hint: Any, chosen: str | None, options: Any, given: Collection[str], default: Any, prefix: str
) -> Any:
    """Returns the record that options describe: one of several kinds, or one that may be None."""
    records = _records(hint)
    given_here = [name for name in given if name.startswith(prefix.replace("_", "-"))]
    if chosen is None and not given_here:
        return default
    record = next(kind for kind in records if chosen is None or kind.kind == chosen)
    start = default if isinstance(default, record) else record()
    values: dict[str, Any] = {}
    for name in {field.name: None for kind in records for field in dataclasses.fields(kind)}:
        inner = f"{prefix}{name}".replace("_", "-")
        options_given = [option for option in given_here if f"{option}.".startswith(f"{inner}.")]
        if not options_given:
            continue
        if not hasattr(record, name):
            owner = _owner(records, name, prefix, chosen)
            raise UsageError(f"{options_given[0]} would change nothing: {owner}")
        inner_hint, value = typing.get_type_hints(record)[name], getattr(options, name)
        if _records(inner_hint):
            beside = getattr(options, name + RECORD_SUFFIX)
            value = _record(inner_hint, value, beside, given, getattr(start, name), f"{inner}.")
        values[name] = value
    return dataclasses.replace(start, **values)


def _owner(records: Collection[type], name: str, prefix: str, chosen: str | None) -> str:
    kinds = " or ".join(repr(kind.kind) for kind in records if hasattr(kind, name))
    field = prefix.removeprefix("--").removesuffix(".").replace("-", "_")
    return f"it is an option of {field}={kinds}, and {field} is {chosen!r}"


def _fields_of(kind: type, field: dataclasses.Field[Any]) -> list[tuple[str, Any, Any]]:
    """Returns a field as name, type and default, and the options of its records, if it holds any."""
    hint = typing.get_type_hints(kind, include_extras=True)[field.name]
    plain, records = _hints(kind)[field.name], _records(_hints(kind)[field.name])
    default = _default(field)
    if records:
        options = _options_kind(records)
        beside = (field.name + RECORD_SUFFIX, Annotated[options, arg(name=field.name)], options())
        if not _has_kinds(plain):
            return [beside]
        kinds: Any = Literal[tuple(record.kind for record in records)]
        return [(field.name, kinds, getattr(default, "kind", default)), beside]
    if not dataclasses.is_dataclass(plain):
        return [(field.name, hint, field)]
    inner, marks = flat_options(plain), getattr(hint, "__metadata__", ())
    if inner is plain:
        return [(field.name, hint, field)]
    return [(field.name, Annotated[inner, *marks] if marks else inner, flat_value(default))]


@functools.cache
def _options_kind(records: tuple[type, ...]) -> type:
    """Returns a dataclass with the fields of several records."""
    fields: dict[str, tuple[str, Any, Any]] = {}
    texts: dict[str, str] = {}
    for record in records:
        for field in dataclasses.fields(record):
            if field.name not in texts:
                owners = [kind.kind for kind in records if len(records) > 1 and hasattr(kind, field.name)]
                owner = f"of {_listed(owners)}: " if owners else ""
                texts[field.name] = owner + attribute_texts(record).get(field.name, "")
                fields |= {flat[0]: flat for flat in _fields_of(record, field)}
    lines = "".join(f"    {name}: {text}\n" for name, text in texts.items())
    own_doc = next((record.__doc__ or "" for record in records), "").partition("\n")[0]
    doc = "Options of one kind each, or of several." if len(records) > 1 else own_doc
    return _dataclass("Options", f"{doc}\n\nAttributes:\n{lines}", list(fields.values()))


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def attribute_texts(kind: type) -> Mapping[str, str]:
    """Returns the text of a dataclass's docstring for each attribute, in one line.

    Example:
      >>> from jaxlm.cli._record_options import attribute_texts
      >>> from jaxlm.models import Learned
      >>> attribute_texts(Learned)["offset"].split(".")[0]
      'row `offset + p` is the embedding of position p'
    """
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    parts = re.split(r"(?m)^  (\w+): ", text)
    return {name: " ".join(words.split()) for name, words in zip(parts[1::2], parts[2::2], strict=True)}


def _dataclass(name: str, doc: str | None, fields: list[tuple[str, Any, Any]]) -> type:
    made = []
    for field_name, hint, default in fields:
        if isinstance(default, dataclasses.Field):
            if default.default_factory is not dataclasses.MISSING:
                copy: Any = dataclasses.field(default_factory=default.default_factory)
            elif default.default is not dataclasses.MISSING:
                copy = dataclasses.field(default=default.default)
            else:
                copy = dataclasses.field()
            made.append((field_name, hint, copy))
        else:
            made.append((field_name, hint, dataclasses.field(default=default)))
    return dataclasses.make_dataclass(name, made, frozen=True, kw_only=True, namespace={"__doc__": doc})


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _own_options(record: Any) -> dict[str, Any]:
    """Returns the fields of a record as options; a record inside it becomes its kind and its fields."""
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
    """Returns the types of a dataclass's fields, without marks for the parser."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _records(hint: Any) -> tuple[type, ...]:
    """Returns the dataclasses of a union that chooses between records; none for any other type."""
    kinds = typing.get_args(hint)
    records = tuple(kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind))
    others = [kind for kind in kinds if kind not in records]
    # The union may have names of the records, and None; with any other type it is no choice between records.
    is_choice = all(kind is types.NoneType or typing.get_origin(kind) is Literal for kind in others)
    return records if is_choice else ()


def _has_kinds(hint: Any) -> bool:
    return len(_records(hint)) > 1


def _label(kind: type, name: str) -> str:
    """Returns the part of an option's name for a field: the field's name, or the name in its mark."""
    marks = getattr(typing.get_type_hints(kind, include_extras=True)[name], "__metadata__", ())
    return next((mark.name for mark in marks if getattr(mark, "name", None) is not None), name)
