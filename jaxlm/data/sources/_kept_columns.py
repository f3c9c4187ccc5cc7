"""Columns of the user's files that are kept beside the texts, and their types."""

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

# Lines of JSON from which the types of fields are inferred.
SAMPLED_LINES = 1000
INT64_END = 2**63


def kept_column_types(files: Sequence[CorpusFile], keep: Sequence[str]) -> dict[str, Any]:
    """Returns the Arrow types of the user's columns that are copied beside scores (kept), for all files.

    A column has one type for all files. A Parquet file states the types of its columns; a dictionary column
    has the type of its values. Cells of CSV are strings. For JSON Lines the first thousand records decide the
    type: bool, int64, float64, string, or a list of one of these. Objects, and fields of mixed types, are
    kept as their JSON text.

    Args:
      files: the files, as `find_files` returns them. Files of other formats than Parquet, CSV and JSON Lines
        have no columns and are passed over.
      keep: the names of the columns.

    Returns:
      The `pyarrow.DataType` of each column, by the name of the column.

    Raises:
      CorpusError: a column does not exist, or two files have types for it that no single type covers.
    """
    types: dict[str, Any] = {}
    if not keep:
        return types
    for file_types, path in itertools.chain(
        _of_parquet(files, keep), _of_csv(files, keep), _of_jsonl(files, keep)
    ):
        for name, kind in file_types.items():
            types[name] = _common_type(name, types.get(name, kind), kind, path)
    return types


def convert_fields(values: Mapping[str, Any], types: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns the values of a record, converted to the types of their columns.

    Args:
      values: of JSON, or the cells of a row.
      types: from `kept_column_types`.
      where: file and line, for errors.

    Raises:
      CorpusError: a value cannot be of its column's type.

    Example:
      >>> from jaxlm.data.sources._kept_columns import convert_fields
      >>> import pyarrow
      >>> types = {"n": pyarrow.float64(), "tags": pyarrow.string()}
      >>> convert_fields({"n": 7, "tags": ["a"]}, types, "a.jsonl:1")
      {'n': 7.0, 'tags': '["a"]'}
    """
    converted = {}
    for name, kind in types.items():
        value = values.get(name)
        try:
            converted[name] = _convert(value, kind)
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise CorpusError(
                f"{where}: the field {name!r} that is kept should hold {kind}, as in the records before, got "
                f"{str(value)[:40]!a}; make it so, or do not keep it"
            ) from error
    return converted


def with_kept_fields(record: Record, types: Mapping[str, Any], file: CorpusFile) -> Record:
    """Returns a record with the id that its file gives it, if any, and its kept values converted.

    Args:
      record: its `kept` also holds the field `id`, where the file has one.
      types: from `kept_column_types`.
      file: the file of the record.

    Raises:
      CorpusError: a value cannot be of its column's type.

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
    # Parquet's values are cast where they are read.
    is_cast = file.format == "parquet"
    kept = {name: values[name] for name in types} if is_cast else convert_fields(values, types, where)
    # With an id of its own, the id no longer tells where the record is.
    meta = record.meta if own is None else {"where": where} | record.meta
    return Record(own or record.id, record.text, meta, kept or None)


def _own_id(value: Any) -> str | None:
    """The value of the field `id` as text; None if it is missing, empty or no text or number."""
    value = value.as_py() if hasattr(value, "as_py") else value
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return None
    return str(value).strip() or None


def _convert(value: Any, kind: Any) -> Any:
    from pyarrow import types

    if value is None:
        return None
    if types.is_string(kind):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text.encode()
        return text
    if types.is_list(kind) and isinstance(value, list):
        return [_convert(item, kind.value_type) for item in value]
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
            return {name: _plain_type(schema.field(name).type) for name in keep}

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
    known = dict.fromkeys(name for record, _ in records for name in record)
    for name in keep:
        if name not in known:
            names = ", ".join(map(repr, known)) or "none"
            raise CorpusError(
                f"{path}: no field {name!r} to keep; the fields there are {names}: name one of them"
            )
    yield {name: _type_of([record.get(name) for record, _ in records]) for name in keep}, path


def _objects(files: Sequence[CorpusFile]) -> Iterator[tuple[dict[str, Any], Any]]:
    """The objects of JSON Lines files, each with its file; lines without an object are skipped."""
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
    """The narrowest Arrow type that holds some JSON values."""
    import pyarrow

    values = [value for value in values if value is not None]
    if values and all(isinstance(value, list) for value in values):
        return pyarrow.list_(_type_of([item for value in values for item in value]))
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pyarrow.bool_()
    if kinds == {int} and all(-INT64_END <= value < INT64_END for value in values):
        return pyarrow.int64()
    return pyarrow.float64() if kinds in ({float}, {int, float}) else pyarrow.string()


def _plain_type(kind: Any) -> Any:
    """A type that every reader of Parquet knows: no view, no dictionary and no extension type."""
    import pyarrow
    from pyarrow import types

    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    kind = getattr(kind, "storage_type", kind)
    if types.is_null(kind) or types.is_string_view(kind):
        return pyarrow.string()
    return pyarrow.binary() if types.is_binary_view(kind) else kind


def _common_type(name: str, one: Any, other: Any, path: Any) -> Any:
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
