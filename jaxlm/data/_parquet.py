"""Records from a column of a Parquet file, streamed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data._records import CorpusError, Record

ROWS_AT_ONCE = 1024


def parquet_source(
    path: str | Path, *, field: str = "text", fields: Sequence[str] = (), name: str | None = None
) -> Iterator[Record]:
    """Yields one record a row, reading row group by row group and the columns asked for only.

    Args:
        path: a Parquet file.
        field: the column that holds the text; null counts as an empty text.
        fields: further columns, whose values (text, numbers or truth values, as text) go into `meta`.
        name: what ids begin with; the file's name where None.

    Yields:
        Records `name:row`, rows counted from 0.

    Raises:
        CorpusError: not a Parquet file, no such column (names those there are), a column that holds no text,
            a text that is not UTF-8 (names row group and row), or null in a further column.
    """
    import pyarrow

    path = Path(path)
    name = path.name if name is None else name
    columns = list(dict.fromkeys([field, *fields]))
    first = 0
    try:
        with _checked(path, field, fields) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
                    where = f"{path}: row group {group}"
                    texts = _texts(batch.column(field), where, first)
                    metas = _metas(batch, fields, where, first)
                    for row, (text, meta) in enumerate(zip(texts, metas, strict=True), start=first):
                        yield Record(f"{name}:{row}", text or "", meta)
                    first += batch.num_rows
    except (pyarrow.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError(f"{path}: cannot be read as Parquet ({reason}); make it again") from error


def _texts(column: Any, where: str, first: int) -> list[str | None]:
    """The texts of some rows; Parquet readers take a writer's word that they are UTF-8."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        for row, value in enumerate(column, start=first):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{where}, row {row}: not UTF-8 at byte {error.start} of the text "
                    f"(0x{error.object[error.start]:02x}); write the column again as UTF-8"
                ) from error
        raise


def _metas(batch: Any, fields: Sequence[str], where: str, first: int) -> Iterator[dict[str, str]]:
    values = {field: batch.column(field).to_pylist() for field in fields}
    for row in range(batch.num_rows):
        found = {field: values[field][row] for field in fields}
        for field, value in found.items():
            if not isinstance(value, str | int | float):
                raise CorpusError(
                    f"{where}, row {first + row}: column {field!r} should hold text, a number or a truth "
                    f"value, got {'null' if value is None else type(value).__name__}"
                )
        yield {field: str(value) for field, value in found.items()}


def _checked(path: Path, field: str, fields: Sequence[str]) -> Any:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    columns = file.schema_arrow.names
    for asked in (field, *fields):
        if asked not in columns:
            there = ", ".join(map(repr, columns)) or "none"
            raise CorpusError(f"{path}: no column {asked!r}; the columns there are {there}: name one of them")
    kind = file.schema_arrow.field(field).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise CorpusError(f"{path}: column {field!r} should hold text, got {kind}; name another column")
    return file
