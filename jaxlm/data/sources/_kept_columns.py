"""Columns of the user's that travel beside his texts, with their types."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxlm import io
from jaxlm.data.sources._files import CorpusFile
from jaxlm.data.sources._parquet import check_columns, open_parquet
from jaxlm.data.sources._records import OWN_ID, CorpusError, Record
from jaxlm.data.sources._streams import read_lines
from jaxlm.data.sources._versions import map_concurrently

# Lines of JSON that say what types their fields are of.
SAMPLED_LINES = 1000
INT64_END = 2**63


def kept_column_types(files: Sequence[CorpusFile], keep: Sequence[str]) -> dict[str, Any]:
    """Returns the Arrow types of columns that are kept, the same for all files.

    Parquet says its own; a dictionary's is that of its values. Cells of CSV are text. Of JSON Lines the first
    thousand records tell: truth values, whole numbers, numbers and texts are such, and lists of one of these;
    objects, and fields in which these are mixed, are kept as the text of their JSON.

    Args:
      files: from `find_files`, of these formats.
      keep: names of columns.

    Returns:
      By name a `pyarrow.DataType`.

    Raises:
      CorpusError: there is no such column, or two files have one of types that are nothing in common.
    """
    types: dict[str, Any] = {}
    if not keep:
        return types
    for found, path in itertools.chain(
        _of_parquet(files, keep), _of_csv(files, keep), _of_jsonl(files, keep)
    ):
        for name, kind in found.items():
            types[name] = _common(name, types.get(name, kind), kind, path)
    return types


def convert_fields(values: Mapping[str, Any], types: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns the values of a record as its columns hold them.

    Args:
      values: of JSON or of cells.
      types: from `kept_column_types`.
      where: file and line, for errors.

    Raises:
      CorpusError: a value is of another type than its column.

    Example:
      >>> from jaxlm.data.sources._kept_columns import convert_fields
      >>> import pyarrow
      >>> convert_fields({"n": 7, "tags": ["a"]}, {"n": pyarrow.float64(), "tags": pyarrow.string()}, "a.jsonl:1")
      {'n': 7.0, 'tags': '["a"]'}
    """
    found = {}
    for name, kind in types.items():
        value = values.get(name)
        try:
            found[name] = _fit(value, kind)
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise CorpusError(
                f"{where}: the field {name!r} that is kept should hold {kind}, as in the records before, got "
                f"{str(value)[:40]!a}; make it so, or do not keep it"
            ) from error
    return found


def with_kept_fields(record: Record, types: Mapping[str, Any], file: CorpusFile) -> Record:
    """Returns a record with its own id, if its file gives it one, and what is kept as its columns hold it.

    Args:
      record: whose `kept` has the field `id`, too, where there is one.
      types: from `kept_column_types`.
      file: that it is of.

    Raises:
      CorpusError: a value is of another type than its column.

    Example:
      >>> from jaxlm.data import CorpusFile, Record
      >>> from jaxlm.data.sources._kept_columns import with_kept_fields
      >>> import pathlib
      >>> file = CorpusFile(pathlib.Path("a.jsonl"), "a.jsonl", "jsonl")
      >>> with_kept_fields(Record("a.jsonl:1", "once", {}, {"id": 7}), {}, file)
      Record(id='7', text='once', meta={'where': 'a.jsonl:1'}, kept=None)
    """
    values = record.kept or {}
    where = f"{file.path}{record.id[len(file.name) :]}"
    own = _own_id(values.get(OWN_ID))
    kept = (
        {name: values[name] for name in types}
        if file.format == "parquet"
        else convert_fields(values, types, where)
    )
    # Errors of a record that has a name say where it is, too.
    meta = record.meta if own is None else {"where": where} | record.meta
    return Record(own or record.id, record.text, meta, kept or None)


def _own_id(value: Any) -> str | None:
    """What the field `id` says; None where that is nothing, or no name."""
    value = value.as_py() if hasattr(value, "as_py") else value
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return None
    return str(value).strip() or None


def _fit(value: Any, kind: Any) -> Any:
    from pyarrow import types

    if value is None:
        return None
    if types.is_string(kind):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text.encode()
        return text
    if types.is_list(kind) and isinstance(value, list):
        return [_fit(one, kind.value_type) for one in value]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if types.is_boolean(kind) and isinstance(value, bool):
        return value
    if types.is_floating(kind) and number:
        return float(value)
    is_whole = number and (isinstance(value, int) or value.is_integer())
    if types.is_integer(kind) and is_whole and -INT64_END <= value < INT64_END:
        return int(value)
    raise TypeError(kind)


def _of_parquet(files: Sequence[CorpusFile], keep: Sequence[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    paths = [file.path for file in files if file.format == "parquet"]

    def types_in(path: Any) -> dict[str, Any]:
        with open_parquet(path) as file:
            check_columns(path, file, keep)
            schema = file.schema_arrow
            return {name: _plain(schema.field(name).type) for name in keep}

    yield from zip(map_concurrently(types_in, paths), paths, strict=True)


def _of_csv(files: Sequence[CorpusFile], keep: Sequence[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    import pyarrow

    for file in (file for file in files if file.format == "csv"):
        yield dict.fromkeys(keep, pyarrow.string()), file.path
        return


def _of_jsonl(files: Sequence[CorpusFile], keep: Sequence[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    records = list(itertools.islice(_objects(files), SAMPLED_LINES))
    if not records:
        return
    path = records[0][1]
    there = dict.fromkeys(name for record, _ in records for name in record)
    for name in keep:
        if name not in there:
            names = ", ".join(map(repr, there)) or "none"
            raise CorpusError(
                f"{path}: no field {name!r} to keep; the fields there are {names}: name one of them"
            )
    yield {name: _type_of([record.get(name) for record, _ in records]) for name in keep}, path


def _objects(files: Sequence[CorpusFile]) -> Iterator[tuple[dict[str, Any], Any]]:
    """The objects of files of JSON lines; what is none says no type."""
    for file in (file for file in files if file.format == "jsonl"):
        for _, line in read_lines(file.path):
            if isinstance(line, CorpusError):
                continue
            try:
                value = io.parse_json(line) if line.strip() else None
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value, file.path


def _type_of(values: Sequence[Any]) -> Any:
    """The narrowest type that holds values of JSON."""
    import pyarrow

    values = [value for value in values if value is not None]
    if values and all(isinstance(value, list) for value in values):
        return pyarrow.list_(_type_of([one for value in values for one in value]))
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pyarrow.bool_()
    if kinds == {int} and all(-INT64_END <= value < INT64_END for value in values):
        return pyarrow.int64()
    return pyarrow.float64() if kinds in ({float}, {int, float}) else pyarrow.string()


def _plain(kind: Any) -> Any:
    """A type as every reader of Parquet knows it: no view, no dictionary, none of somebody's own."""
    import pyarrow
    from pyarrow import types

    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    kind = getattr(kind, "storage_type", kind)
    if types.is_null(kind) or types.is_string_view(kind):
        return pyarrow.string()
    return pyarrow.binary() if types.is_binary_view(kind) else kind


def _common(name: str, one: Any, other: Any, path: Any) -> Any:
    import pyarrow
    from pyarrow import types

    if one == other:
        return one
    if types.is_nested(one) or types.is_nested(other):
        raise CorpusError(
            f"{path}: the column {name!r} that is kept is {other} here and {one} in another file; make them "
            f"alike, or do not keep it"
        )
    if all(types.is_integer(kind) or types.is_floating(kind) for kind in (one, other)):
        return pyarrow.float64() if types.is_floating(one) or types.is_floating(other) else pyarrow.int64()
    return pyarrow.string()
