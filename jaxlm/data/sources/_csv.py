"""Records from a column of a CSV file, streamed."""

import csv
from collections.abc import Iterator, Sequence

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    OWN_ID,
    Broken,
    CorpusError,
    Record,
    UnreadableRecord,
    check_length,
    unreadable_record,
)
from jaxlm.data.sources._remote import Place, to_place
from jaxlm.data.sources._streams import read_lines

# Python's reader refuses longer cells than this, and by itself than 128 KiB: a document may be a book.
LONGEST_CELL = 2**31 - 1


def csv_source(
    path: str | Place,
    *,
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Sequence[str] = (),
    name: str | None = None,
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields one record a row of a CSV file whose first row names the columns.

    Cells are divided by commas, those of a `.tsv` file by tabs; a cell in double quotes may hold either, and
    line ends, and a quote written twice.

    Args:
      path: a UTF-8 file, here or at a URL, plain, `.gz` or `.zst`; blank lines are passed over.
      field: the column that holds the text.
      fields: further columns, whose cells go into `meta`.
      keep: columns whose cells go into `kept`.
      name: what ids begin with; the file's name where None.
      broken: whether a row that cannot be read stops the reading or is yielded as `UnreadableRecord`; a column that
        is not there stops it.
      max_document: the most bytes of a row, decompressed.

    Yields:
      Records `name:line`, the line that the row begins in.

    Raises:
      CorpusError: the file is not UTF-8, has no such column (names those there are), or a row has another
        number of cells than the first or quotes that do not match; names the line.

    Example:
      >>> from jaxlm.data import csv_source
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "a.csv").write_text('text,year\\n"one, two",1999\\n')
      ...     list(csv_source(pathlib.Path(folder, "a.csv"), fields=["year"]))
      [Record(id='a.csv:2', text='one, two', meta={'year': '1999'}, kept=None)]
    """
    path = to_place(path)
    name = path.name if name is None else name
    rows = _rows(path, max_document)
    names = next(rows, None)
    if names is None:
        raise CorpusError(f"{path}: no header: expected the names of columns in the first line")
    columns = names[1]
    if isinstance(columns, CorpusError):
        yield unreadable_record(name, columns, broken)
        return
    _check_columns(path, columns, [field, *fields, *(one for one in keep if one != OWN_ID)])
    for line, cells in rows:
        if not isinstance(cells, CorpusError) and len(cells) != len(columns):
            said = f"expected {len(columns)} cells as the header has, got {len(cells)}"
            cells = CorpusError(f"{path}:{line}: {said}; quote cells that hold commas")
        if isinstance(cells, CorpusError):
            yield unreadable_record(f"{name}:{line}", cells, broken)
            continue
        row = dict(zip(columns, cells, strict=True))
        kept = {one: row.get(one) for one in keep} if keep else None
        yield Record(f"{name}:{line}", row[field], {one: row[one] for one in fields}, kept)


class _NumberedLines:
    """The lines of a file for Python's reader; unlike a generator it goes on behind an error."""

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
        # A row may have many lines, of which the reader holds all.
        self.size += len(line)
        check_length(self.size, self._most, f"{self._path}:{self.number}")
        return line


def _rows(path: Place, max_document: int) -> Iterator[tuple[int, list[str] | CorpusError]]:
    """Yields the line that each row begins in, and its cells or what is wrong with them."""
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


def _check_columns(path: Place, columns: list[str], named: Sequence[str]) -> None:
    if len(set(columns)) != len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise CorpusError(f"{path}: the header names column {twice!r} twice; rename one")
    for asked in named:
        if asked not in columns:
            there = ", ".join(map(repr, columns))
            raise CorpusError(f"{path}: no column {asked!r}; the columns there are {there}: name one of them")
