"""Records from a column of a Parquet file, streamed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxlm.data._records import CorpusError, Record

ROWS_AT_ONCE = 1024


def parquet_source(path: str | Path, *, field: str = "text", name: str | None = None) -> Iterator[Record]:
    """Yields one record a row, reading row group by row group and that column only.

    Args:
        path: a Parquet file.
        field: the column that holds the text; null counts as an empty text.
        name: what ids begin with; the file's name where None.

    Yields:
        Records `name:row`, rows counted from 0.

    Raises:
        CorpusError: not a Parquet file, no such column (names those there are), a column that holds no text,
            or a text that is not UTF-8 (names row group and row).
    """
    import pyarrow

    path = Path(path)
    name = path.name if name is None else name
    first = 0
    try:
        with _checked(path, field) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[field]):
                    texts = _texts(batch.column(0), f"{path}: row group {group}", first)
                    for row, text in enumerate(texts, start=first):
                        yield Record(f"{name}:{row}", text or "", {})
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


def _checked(path: Path, field: str) -> Any:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    columns = file.schema_arrow.names
    if field not in columns:
        there = ", ".join(map(repr, columns)) or "none"
        raise CorpusError(f"{path}: no column {field!r}; the columns there are {there}: name one of them")
    kind = file.schema_arrow.field(field).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise CorpusError(f"{path}: column {field!r} should hold text, got {kind}; name another column")
    return file
