"""Records from a column of a Parquet file, streamed."""

import decimal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    OWN_ID,
    CorpusError,
    ReadFailure,
    Record,
    SourceItem,
    UnreachableError,
    check_length,
    raise_failures,
)
from jaxlm.data.sources._remote import Place, RemotePath, to_place
from jaxlm.io import error_reason

ROWS_AT_ONCE = 1024
# Raised beside Arrow's own errors: for names that are no text, and for columns that are not there.
UNREADABLE = (UnicodeDecodeError, LookupError, OverflowError)


def parquet_source(
    path: str | Place,
    *,
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Mapping[str, Any] | None = None,
    name: str | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record]:
    """Yields one record for each row of a Parquet file.

    Row groups are read one after the other, and only the requested columns are read.

    Args:
      path: a Parquet file, local or at a URL.
      field: the column that holds the text, in any of Arrow's types for text (string, large_string,
        string_view, a dictionary of one) or as bytes in UTF-8; a null counts as an empty text.
      fields: further columns, whose values (strings, numbers or bools) go into the record's `meta` as
        strings. A null gets no entry.
      keep: by name, the Arrow types of further columns whose values are cast to the type and go into the
        record's `kept`; a type of None leaves the values as they are. The column `id` may be missing in the
        file. None: no columns are kept.
      name: the beginning of each id. None: ids begin with the file's name.
      max_document: the largest size of a text, in UTF-8 bytes. A longer text is an error.

    Yields:
      Records with the id `name:row`, where rows are counted from 0.

    Raises:
      CorpusError: the file is no Parquet file or lacks a column (the message names the columns that it has),
        the column of the text holds something else, a text is not UTF-8 (names row group and row), or a
        further column holds no plain value.
    """
    items = parquet_items(path, field=field, fields=fields, keep=keep, name=name, max_document=max_document)
    return raise_failures(items)


def parquet_items(
    path: str | Place,
    *,
    field: str,
    fields: Sequence[str],
    keep: Mapping[str, Any] | None,
    name: str | None,
    max_document: int,
) -> Iterator[SourceItem]:
    """Yields what `parquet_source` does, and failures instead of rows, row groups or whole files.

    Args:
      path: as for `parquet_source`.
      field: the column of the text.
      fields: further columns, whose values go into `meta`.
      keep: columns whose values go into `kept`, with their types; None: none.
      name: what ids begin with; None: the file's name.
      max_document: the most bytes of a text.

    Raises:
      CorpusError: the file lacks a column, or the column holds no text.
    """
    path = to_place(path)
    name = path.name if name is None else name
    try:
        file = open_parquet(path)
    except CorpusError as error:
        yield ReadFailure(name, error)
        return
    with file:
        check_columns(path, file, [field, *fields, *(column for column in keep or () if column != OWN_ID)])
        _check_text(path, file, field)
        types = {column: kind for column, kind in (keep or {}).items() if column in file.schema_arrow.names}
        first = 0
        for group in range(file.num_row_groups):
            try:
                for row, record in _rows(file, path, group, first, field, fields, types):
                    record = _bounded(record, max_document, f"{path}: row {row}")
                    if isinstance(record, CorpusError):
                        yield ReadFailure(f"{name}:{row}", record)
                    else:
                        yield record._replace(id=f"{name}:{row}")
            except _RowsError as error:
                yield ReadFailure(f"{name}:row group {group}", error)
            first += file.metadata.row_group(group).num_rows


class _RowsError(CorpusError):
    """The rest of a row group cannot be read."""


def _rows(
    file: Any,
    path: Place,
    group: int,
    first: int,
    field: str,
    fields: Sequence[str],
    types: Mapping[str, Any],
) -> Iterator[tuple[int, Record | CorpusError]]:
    import pyarrow

    where, row = f"{path}: row group {group}", first
    columns = list(dict.fromkeys([field, *fields, *types]))
    try:
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
            texts = _texts(batch.column(field))
            metas = {column: batch.column(column).to_pylist() for column in fields}
            kept = cast_columns(batch, types, where)
            for index, text in enumerate(texts):
                values = {column: metas[column][index] for column in fields}
                record = _record(text, values, f"{where}, row {row}")
                if types and isinstance(record, Record):
                    record = record._replace(kept={column: kept[column][index] for column in types})
                yield row, record
                row += 1
    except (*UNREADABLE, pyarrow.ArrowException, OSError) as error:
        raise _RowsError(
            f"{where}: cannot be read as Parquet ({error_reason(error)}); make it again"
        ) from error


def _bounded(record: Record | CorpusError, most: int, where: str) -> Record | CorpusError:
    """The record, or an error if its text is too long."""
    try:
        # A character has at most four bytes, so only few texts are long enough that bytes must be counted.
        if isinstance(record, Record) and 4 * len(record.text) > most:
            check_length(len(record.text.encode("utf-8", "surrogatepass")), most, where)
    except CorpusError as error:
        return error
    return record


def _texts(column: Any) -> list[str | UnicodeDecodeError | None]:
    """The texts of some rows. Readers of Parquet trust the writer that they are UTF-8, so some may not be."""
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        return [_as_text(value) for value in column]
    return [_decoded(value) if isinstance(value, bytes) else value for value in values]


def _as_text(value: Any) -> str | UnicodeDecodeError | None:
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return error


def _decoded(value: bytes) -> str | UnicodeDecodeError:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        return error


def _record(
    text: str | UnicodeDecodeError | None, values: dict[str, Any], where: str
) -> Record | CorpusError:
    if isinstance(text, UnicodeDecodeError):
        return CorpusError(
            f"{where}: not UTF-8 at byte {text.start} of the text (0x{text.object[text.start]:02x}); write "
            f"the column again as UTF-8"
        )
    values = {field: value for field, value in values.items() if value is not None}
    for field, value in values.items():
        if not isinstance(value, str | int | float | decimal.Decimal):
            return CorpusError(
                f"{where}: column {field!r} should hold text, a number or a truth value, got "
                f"{type(value).__name__}"
            )
    return Record("", text or "", {field: str(value) for field, value in values.items()})


def open_parquet(path: Place) -> Any:
    """Returns a `pyarrow.parquet.ParquetFile`.

    Raises:
      CorpusError: the file cannot be read, or is no Parquet.
    """
    import pyarrow.parquet

    try:
        # Of a remote file, all that is needed of a row group is fetched in one request.
        is_remote = isinstance(path, RemotePath)
        options = {"pre_buffer": True} if is_remote else {}
        return pyarrow.parquet.ParquetFile(path.open_anywhere() if is_remote else path, **options)
    except (*UNREADABLE, pyarrow.ArrowException, OSError) as error:
        kind = CorpusError if getattr(error, "errno", None) is None else UnreachableError
        raise kind(f"{path}: cannot be read as Parquet ({error_reason(error)}); make it again") from error


def check_columns(path: Place, file: Any, wanted: Sequence[str]) -> None:
    """Raises an error if a file lacks a column, or has two of one name.

    Args:
      path: the file, for the message.
      file: from `open_parquet`.
      wanted: names of columns.

    Raises:
      CorpusError: a column is missing (names those there are), or occurs twice.
    """
    columns = file.schema_arrow.names
    for column in wanted:
        if column not in columns:
            known = ", ".join(map(repr, columns)) or "none"
            raise CorpusError(
                f"{path}: no column {column!r}; the columns there are {known}: name one of them"
            )
        if columns.count(column) > 1:
            raise CorpusError(f"{path}: {columns.count(column)} columns are called {column!r}; rename one")


def _check_text(path: Place, file: Any, field: str) -> None:
    kind = file.schema_arrow.field(field).type
    if not _is_text(kind):
        raise CorpusError(f"{path}: column {field!r} should hold text, got {kind}; name another column")


def cast_columns(batch: Any, types: Mapping[str, Any], where: str) -> dict[str, list[Any]]:
    """Returns the values of some columns: Arrow scalars, or Python values where a column is nested.

    Args:
      batch: a `pyarrow.RecordBatch`.
      types: by column, the Arrow type that it is cast to; None: no cast.
      where: file and row group, for errors.

    Raises:
      CorpusError: a column cannot be cast to its type.
    """
    import pyarrow

    values = {}
    for name, kind in types.items():
        column = batch.column(name)
        column = getattr(column, "storage", column)
        try:
            column = column if kind in (None, column.type) else column.cast(kind)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
            raise CorpusError(
                f"{where}: the column {name!r} that is kept cannot be made {kind}, as in other files "
                f"({str(error).splitlines()[0]}); make it so, or do not keep it"
            ) from error
        values[name] = column.to_pylist() if pyarrow.types.is_nested(column.type) else list(column)
    return values


def _is_text(kind: Any) -> bool:
    """Whether a column's values are texts, or bytes that may be."""
    from pyarrow import types

    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    # An extension type that is stored as text, such as JSON.
    kind = getattr(kind, "storage_type", kind)
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
    )
    return any(test(kind) for test in tests)
