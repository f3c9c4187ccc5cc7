"""Records from a column of a Parquet file, streamed."""

import decimal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    OWN_ID,
    Broken,
    CorpusError,
    Record,
    UnreachableError,
    UnreadableRecord,
    check_length,
    unreadable_record,
)
from jaxlm.data.sources._remote import Place, RemotePath, to_place
from jaxlm.io import error_reason

ROWS_AT_ONCE = 1024
# What is raised beside Arrow's own errors: of names that are no text, and of columns that are not there.
UNREADABLE = (UnicodeDecodeError, LookupError, OverflowError)


def parquet_source(
    path: str | Place,
    *,
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Mapping[str, Any] | None = None,
    name: str | None = None,
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields one record a row, reading row group by row group and the columns asked for only.

    Args:
      path: a Parquet file, here or at a URL.
      field: the column that holds the text, of any of Arrow's types for it (string, large_string,
        string_view, a dictionary of one), or bytes, which are read as UTF-8; null counts as an empty
        text.
      fields: further columns, whose values (text, numbers or truth values, as text) go into `meta`; null
        does not.
      keep: columns whose values go into `kept`, by the Arrow type that they are cast to, None as they are;
        `id` may be missing.
      name: what ids begin with; the file's name where None.
      broken: whether a row, a row group or a file that cannot be read stops the reading or is yielded as
        `UnreadableRecord`; a column that is not there stops it.
      max_document: the most bytes of a text.

    Yields:
      Records `name:row`, rows counted from 0.

    Raises:
      CorpusError: not a Parquet file, no such column (names those there are), a column that holds no text,
        a text that is not UTF-8 (names row group and row), or something else than a value in a further
        one.
    """
    path = to_place(path)
    name = path.name if name is None else name
    try:
        file = open_parquet(path)
    except CorpusError as error:
        yield unreadable_record(name, error, broken)
        return
    with file:
        check_columns(path, file, [field, *fields, *(one for one in keep or () if one != OWN_ID)])
        _check_text(path, file, field)
        asked = {one: kind for one, kind in (keep or {}).items() if one in file.schema_arrow.names}
        first = 0
        for group in range(file.num_row_groups):
            try:
                for row, found in _rows(file, path, group, first, field, fields, asked):
                    found = _bounded(found, max_document, f"{path}: row {row}")
                    if isinstance(found, CorpusError):
                        yield unreadable_record(f"{name}:{row}", found, broken)
                    else:
                        yield found._replace(id=f"{name}:{row}")
            except _RowsError as error:
                yield unreadable_record(f"{name}:row group {group}", error, broken)
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
    keep: Mapping[str, Any],
) -> Iterator[tuple[int, Record | CorpusError]]:
    import pyarrow

    where, row = f"{path}: row group {group}", first
    columns = list(dict.fromkeys([field, *fields, *keep]))
    try:
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
            texts = _texts(batch.column(field))
            metas = {one: batch.column(one).to_pylist() for one in fields}
            kept = cast_columns(batch, keep, where)
            for place, text in enumerate(texts):
                values = {one: metas[one][place] for one in fields}
                found = _record(text, values, f"{where}, row {row}")
                if keep and isinstance(found, Record):
                    found = found._replace(kept={one: kept[one][place] for one in keep})
                yield row, found
                row += 1
    except (*UNREADABLE, pyarrow.ArrowException, OSError) as error:
        raise _RowsError(
            f"{where}: cannot be read as Parquet ({error_reason(error)}); make it again"
        ) from error


def _bounded(found: Record | CorpusError, most: int, where: str) -> Record | CorpusError:
    try:
        # A character has at most four bytes, and few texts are so long that these have to be counted.
        if isinstance(found, Record) and 4 * len(found.text) > most:
            check_length(len(found.text.encode("utf-8", "surrogatepass")), most, where)
    except CorpusError as error:
        return error
    return found


def _texts(column: Any) -> list[str | UnicodeDecodeError | None]:
    """The texts of some rows; Parquet readers take a writer's word that they are UTF-8."""
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        return [_tried(value) for value in column]
    return [_decoded(value) if isinstance(value, bytes) else value for value in values]


def _tried(value: Any) -> str | UnicodeDecodeError | None:
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
        # Of a remote file what is needed of a row group comes at once.
        is_remote = isinstance(path, RemotePath)
        options = {"pre_buffer": True} if is_remote else {}
        return pyarrow.parquet.ParquetFile(path.open_anywhere() if is_remote else path, **options)
    except (*UNREADABLE, pyarrow.ArrowException, OSError) as error:
        kind = CorpusError if getattr(error, "errno", None) is None else UnreachableError
        raise kind(f"{path}: cannot be read as Parquet ({error_reason(error)}); make it again") from error


def check_columns(path: Place, file: Any, named: Sequence[str]) -> None:
    """Refuses columns that a file does not have.

    Args:
      path: the file, for the message.
      file: from `open_parquet`.
      named: the columns.

    Raises:
      CorpusError: names those there are, or the one that stands twice.
    """
    columns = file.schema_arrow.names
    for asked in named:
        if asked not in columns:
            there = ", ".join(map(repr, columns)) or "none"
            raise CorpusError(f"{path}: no column {asked!r}; the columns there are {there}: name one of them")
        if columns.count(asked) > 1:
            raise CorpusError(f"{path}: {columns.count(asked)} columns are called {asked!r}; rename one")


def _check_text(path: Place, file: Any, field: str) -> None:
    kind = file.schema_arrow.field(field).type
    if not _is_text(kind):
        raise CorpusError(f"{path}: column {field!r} should hold text, got {kind}; name another column")


def cast_columns(batch: Any, types: Mapping[str, Any], where: str) -> dict[str, list[Any]]:
    """Returns the values of some rows, as Arrow's scalars, or as Python's where they are nested.

    Args:
      batch: a `pyarrow.RecordBatch`.
      types: by column the Arrow type that it is cast to; None: none.
      where: file and row group, for errors.

    Raises:
      CorpusError: a column cannot be cast to its type.
    """
    import pyarrow

    found = {}
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
        found[name] = column.to_pylist() if pyarrow.types.is_nested(column.type) else list(column)
    return found


def _is_text(kind: Any) -> bool:
    """Whether a column's values are texts, or bytes that may be."""
    from pyarrow import types

    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    # What is spelled as text and has a type of its own, such as JSON.
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
