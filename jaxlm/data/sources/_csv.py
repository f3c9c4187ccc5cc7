"""Records from a column of a CSV file, streamed."""

import csv
from collections.abc import Iterator, Sequence

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    OWN_ID,
    CorpusError,
    ReadFailure,
    Record,
    SourceItem,
    check_length,
    raise_failures,
)
from jaxlm.data.sources._remote import Place, to_place
from jaxlm.data.sources._streams import read_lines

# The limit of Python's reader is 128 KiB a cell unless it is raised; a document may be a whole book.
LONGEST_CELL = 2**31 - 1


def csv_source(
    path: str | Place,
    *,
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Sequence[str] = (),
    name: str | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record]:
    """Yields one record for each row of a CSV file, whose first row names the columns.

    Commas separate the cells; in a `.tsv` file tabs do. A cell in double quotes may hold the separator, line
    ends, and a quote that is written twice.

    Args:
      path: a file in UTF-8, local or at a URL, plain or compressed (`.gz`, `.zst`). Blank lines are skipped.
      field: the column that holds the text.
      fields: further columns, whose cells go into the record's `meta` as strings.
      keep: further columns, whose cells go into the record's `kept`, which scoring copies beside the scores.
      name: the beginning of each id. None: ids begin with the file's name.
      max_document: the largest size of a decompressed row, in bytes. A longer row is an error.

    Yields:
      Records with the id `name:line`, where `line` is the number of the line in which the row begins, from 1.

    Raises:
      CorpusError: the file is not UTF-8 or lacks a column (the message names the columns that it has), or a
        row has another number of cells than the header or unbalanced quotes (the message names the line).

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import csv_source
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "a.csv").write_text('text,year\\n"one, two",1999\\n')
      ...     list(csv_source(pathlib.Path(folder, "a.csv"), fields=["year"]))
      [Record(id='a.csv:2', text='one, two', meta={'year': '1999'}, kept=None)]
    """
    items = csv_items(path, field=field, fields=fields, keep=keep, name=name, max_document=max_document)
    return raise_failures(items)


def csv_items(
    path: str | Place,
    *,
    field: str,
    fields: Sequence[str],
    keep: Sequence[str],
    name: str | None,
    max_document: int,
) -> Iterator[SourceItem]:
    """Yields what `csv_source` does, and failures instead of rows that cannot be read.

    Args:
      path: as for `csv_source`.
      field: the column of the text.
      fields: further columns, whose cells go into `meta`.
      keep: columns whose cells go into `kept`.
      name: what ids begin with; None: the file's name.
      max_document: the most bytes of a row, decompressed.

    Raises:
      CorpusError: there is no header, or it lacks a column.
    """
    path = to_place(path)
    name = path.name if name is None else name
    rows = _rows(path, max_document)
    header = next(rows, None)
    if header is None:
        raise CorpusError(f"{path}: no header: expected the names of columns in the first line")
    columns = header[1]
    if isinstance(columns, CorpusError):
        yield ReadFailure(name, columns)
        return
    _check_columns(path, columns, [field, *fields, *(column for column in keep if column != OWN_ID)])
    for line, cells in rows:
        if not isinstance(cells, CorpusError) and len(cells) != len(columns):
            cells = CorpusError(
                f"{path}:{line}: expected {len(columns)} cells as the header has, got {len(cells)}; quote "
                f"cells that hold commas"
            )
        if isinstance(cells, CorpusError):
            yield ReadFailure(f"{name}:{line}", cells)
            continue
        row = dict(zip(columns, cells, strict=True))
        kept = {column: row.get(column) for column in keep} if keep else None
        yield Record(f"{name}:{line}", row[field], {column: row[column] for column in fields}, kept)


class _NumberedLines:
    """The lines of a file for Python's CSV reader.

    It is no generator, because a generator ends with the first error and this iterator goes on after one.
    """

    def __init__(self, path: Place, max_document: int) -> None:
        self.number = self.size = 0
        self._path, self._most = path, max_document
        self._lines = read_lines(path, max_document=max_document)

    def __iter__(self) -> "_NumberedLines":
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if isinstance(line, CorpusError):
            raise line
        # A row may span many lines, and the reader holds all of them.
        self.size += len(line)
        check_length(self.size, self._most, f"{self._path}:{self.number}")
        return line


def _rows(path: Place, max_document: int) -> Iterator[tuple[int, list[str] | CorpusError]]:
    """Yields for each row the line in which it begins, and its cells or the error that it has."""
    csv.field_size_limit(LONGEST_CELL)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    lines = _NumberedLines(path, max_document)
    reader = csv.reader(lines, delimiter="\t" if ".tsv" in suffixes else ",", strict=True)
    while True:
        line, lines.size = lines.number + 1, 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except CorpusError as error:
            yield line, error
        except csv.Error as error:
            yield line, CorpusError(f"{path}:{line}: not CSV ({error}); quote the cell, or double its quotes")
        else:
            if cells:
                yield line, cells


def _check_columns(path: Place, columns: list[str], wanted: Sequence[str]) -> None:
    if len(set(columns)) != len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise CorpusError(f"{path}: the header names column {twice!r} twice; rename one")
    for column in wanted:
        if column not in columns:
            known = ", ".join(map(repr, columns))
            raise CorpusError(
                f"{path}: no column {column!r}; the columns there are {known}: name one of them"
            )
