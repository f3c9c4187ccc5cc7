"""One lazy iterator over every record of files, folders and patterns, in whatever formats they are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxlm import tokenizers
from jaxlm.data.sources._csv import csv_items
from jaxlm.data.sources._fasta import fasta_items
from jaxlm.data.sources._files import CorpusFile, Format, find_files
from jaxlm.data.sources._kept_columns import with_kept_fields
from jaxlm.data.sources._parquet import parquet_items
from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    OWN_ID,
    CorpusError,
    ReadFailure,
    Record,
    SourceItem,
    TooLongError,
    UnreachableError,
    UnreadableRecord,
    raise_failures,
    yield_failures,
)
from jaxlm.data.sources._streams import read_lines
from jaxlm.data.sources._text import Document, jsonl_items, text_items, traces_items
from jaxlm.data.sources._watch import FileWatch

LINES_LOOKED_AT = 100
PRETOKEN = re.compile(r"(?<!\S)\[NEXT\](?!\S)")
# Formats whose records have fields.
FORMATS_WITH_FIELDS = ("jsonl", "csv", "parquet")
Yielded = TypeVar("Yielded")


def open_source(
    paths: Sequence[str | Path] | str | Path,
    format: Format | None = None,
    *,
    document: Document = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record]:
    """Returns a lazy iterator over the records of files, folders and patterns, in the order of their paths.

    The paths are looked up at once; a file is opened when the iterator reaches it. The first record that
    cannot be read raises an error; `open_source_with_errors` goes on after such a record. If `format` is None
    and `document` is "line", a text file whose first 100 lines hold the pretoken `[NEXT]` is read as
    instruction traces (see `traces_source`).

    Args:
      paths: one or several files, folders or glob patterns, local or at URLs.
      format: the format in which every file is read: "text", "jsonl", "csv", "parquet", "fasta" or "traces".
        None: the format follows from each file's ending.
      document: "line" makes a document of each line of a text file, "file" one document of the whole file.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further JSONL fields or columns, whose values go into the record's `meta` as strings.
      max_document: the largest size of a decompressed document, in bytes. For JSONL and CSV the size of the
        whole line counts. A longer document is an error.

    Returns:
      The records. The id of each begins with the path of its file below the folder that all files share.

    Raises:
      CorpusError: at once, if a path is missing, a format is not known, `document="file"` is given without a
        text file, or `fields` is given for a file of a format without fields; while iterating, if a record
        cannot be read; at the end, if a file changed while it was read.
    """
    files, fields = _found(paths, format, document, fields)
    items = _items(files, format is None and document == "line", document, field, fields, None, max_document)
    return _unchanged(files, raise_failures(items))


def open_source_with_errors(
    paths: Sequence[str | Path] | str | Path,
    format: Format | None = None,
    *,
    document: Document = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Returns a lazy iterator over records as `open_source` does, and goes on after unreadable records.

    Args:
      paths: one or several files, folders or glob patterns, local or at URLs.
      format: the format in which every file is read: "text", "jsonl", "csv", "parquet", "fasta" or "traces".
        None: the format follows from each file's ending.
      document: "line" makes a document of each line of a text file, "file" one document of the whole file.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further JSONL fields or columns, whose values go into the record's `meta` as strings.
      max_document: the largest size of a decompressed document, in bytes. For JSONL and CSV the size of the
        whole line counts. A longer document cannot be read.

    Returns:
      The records, with an `UnreadableRecord` in the place of each line, row, row group or file that cannot
      be read.

    Raises:
      CorpusError: at once, if a path is missing, a format is not known, or `document` or `fields` does not
        suit the files; while iterating, if a file lacks a field or a column or cannot be reached; at the end,
        if a file changed while it was read.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import open_source_with_errors
      >>> path = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
      >>> _ = path.write_text('{"text": "one"}\\nno JSON\\n')
      >>> [type(item).__name__ for item in open_source_with_errors(path)]
      ['Record', 'UnreadableRecord']
    """
    files, fields = _found(paths, format, document, fields)
    items = _items(files, format is None and document == "line", document, field, fields, None, max_document)
    return _unchanged(files, yield_failures(items))


def read_files(
    files: Sequence[CorpusFile],
    *,
    sniff: bool = False,
    document: Document = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Mapping[str, Any] | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record]:
    """Yields the records of files that `find_files` has found; a lower-level form of `open_source`.

    Args:
      files: the files, as `find_files` returns them. An empty sequence yields nothing.
      sniff: whether to look at the first 100 lines of each text file, and to read the file as instruction
        traces (see `traces_source`) if one of them holds the pretoken `[NEXT]`.
      document: "line" makes a document of each line of a text file, "file" one document of the whole file.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further JSONL fields or columns, whose values go into the record's `meta` as strings.
      keep: the Arrow types, by name, of further fields or columns whose values go into the record's `kept`
        (see `kept_column_types`). A mapping, even an empty one, also makes each record take its id from the
        field or column `id` of its file, if the file has one. None: no columns are kept, and every id is made
        of the file's name and the line or row.
      max_document: the largest size of a decompressed document, in bytes. For JSONL and CSV the size of the
        whole line counts. A longer document is an error.

    Yields:
      The records, in the order of the files and of the lines or rows in each file.

    Raises:
      CorpusError: a record cannot be read.
    """
    return raise_failures(_items(files, sniff, document, field, fields, keep, max_document))


def read_files_with_errors(
    files: Sequence[CorpusFile],
    *,
    sniff: bool = False,
    document: Document = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Mapping[str, Any] | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields the records of files as `read_files` does, and goes on after records that cannot be read.

    Args:
      files: the files, as `find_files` returns them. An empty sequence yields nothing.
      sniff: whether to look at the first 100 lines of each text file, and to read the file as instruction
        traces (see `traces_source`) if one of them holds the pretoken `[NEXT]`.
      document: "line" makes a document of each line of a text file, "file" one document of the whole file.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further JSONL fields or columns, whose values go into the record's `meta` as strings.
      keep: the Arrow types, by name, of further fields or columns whose values go into the record's `kept`
        (see `kept_column_types`). A mapping, even an empty one, also makes each record take its id from the
        field or column `id` of its file, if the file has one. None: no columns are kept, and every id is made
        of the file's name and the line or row.
      max_document: the largest size of a decompressed document, in bytes. For JSONL and CSV the size of the
        whole line counts. A longer document cannot be read.

    Yields:
      The records, in the order of the files and of the lines or rows in each file. An `UnreadableRecord`
      takes the place of each record that cannot be read.

    Raises:
      CorpusError: a file lacks a field or a column, or cannot be reached.
    """
    return yield_failures(_items(files, sniff, document, field, fields, keep, max_document))


def _found(
    paths: Sequence[str | Path] | str | Path, format: Format | None, document: Document, fields: Sequence[str]
) -> tuple[list[CorpusFile], tuple[str, ...]]:
    """The files of paths, and the fields, once both are known to be right."""
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    files, fields = find_files([str(path) for path in several], format), tuple(tokenizers.as_texts(fields))
    check_document(files, document)
    check_fields(files, fields)
    return files, fields


def _unchanged(files: Sequence[CorpusFile], items: Iterator[Yielded]) -> Iterator[Yielded]:
    """The items, and at their end an error if a file changed since the first."""
    watch = FileWatch([file.path for file in files])
    yield from items
    watch.check()


def _items(
    files: Sequence[CorpusFile],
    sniff: bool,
    document: Document,
    field: str,
    fields: Sequence[str],
    keep: Mapping[str, Any] | None,
    max_document: int,
) -> Iterator[SourceItem]:
    for file in files:
        format = format_of(file, max_document) if sniff else file.format
        file = file._replace(format=format)
        if keep is None or format not in FORMATS_WITH_FIELDS:
            yield from _file_items(file, document, field, fields, None, max_document)
            continue
        for item in _file_items(file, document, field, fields, {**keep, OWN_ID: None}, max_document):
            if isinstance(item, Record):
                try:
                    item = with_kept_fields(item, keep, file)
                except CorpusError as error:
                    item = ReadFailure(item.id, error)
            yield item


def _file_items(
    file: CorpusFile,
    document: Document,
    field: str,
    fields: Sequence[str],
    keep: Mapping[str, Any] | None,
    max_document: int,
) -> Iterator[SourceItem]:
    path, name, names = file.path, file.name, tuple(keep or ())
    match file.format:
        case "text":
            return text_items(path, document=document, name=name, max_document=max_document)
        case "traces":
            return traces_items(path, name=name, max_document=max_document)
        case "fasta":
            return fasta_items(path, name=name, max_document=max_document)
        case "jsonl":
            return jsonl_items(
                path, field=field, fields=fields, keep=names, name=name, max_document=max_document
            )
        case "csv":
            return csv_items(
                path, field=field, fields=fields, keep=names, name=name, max_document=max_document
            )
        case "parquet":
            return parquet_items(
                path, field=field, fields=fields, keep=keep, name=name, max_document=max_document
            )
    raise CorpusError(f"{path}: unknown format {file.format!r}")


def check_document(files: Sequence[CorpusFile], document: Document) -> None:
    """Raises an error for `document="file"` without a text file, where the option would change nothing.

    Args:
      files: from `find_files`.
      document: as for `open_source`.

    Raises:
      CorpusError: none of the files is text.
    """
    formats = sorted({file.format for file in files})
    if document == "file" and "text" not in formats:
        raise CorpusError(
            f"document 'file' is for text, but {files[0].path} and what else was given is "
            f"{' or '.join(formats)}; leave it out"
        )


def check_fields(
    files: Sequence[CorpusFile],
    fields: Sequence[str],
    remedy: str = "leave it out, or give a pattern that is searched for in a record's id and description",
) -> None:
    """Raises an error if fields are requested of a file whose format has no fields.

    Args:
      files: the files, as `find_files` returns them.
      fields: the names of the requested fields or columns. If there are none, every file is accepted.
      remedy: the end of the error message, which says what the user can do.

    Raises:
      CorpusError: fields are requested, and one of the files is neither JSONL nor CSV nor Parquet.
    """
    without = [file for file in files if file.format not in FORMATS_WITH_FIELDS]
    if fields and without:
        raise CorpusError(
            f"{without[0].path}: a file of format {without[0].format!r} has no field {fields[0]!r}; {remedy}"
        )


def format_of(file: CorpusFile, max_document: int = MAX_DOCUMENT) -> Format:
    """Returns a file's format; the first lines of a text file show whether it is one of traces.

    Args:
      file: from `find_files`, with the format of its ending.
      max_document: the most bytes of a line; nothing after a longer line is looked at.

    Returns:
      "traces" for a text file with the pretoken `[NEXT]` in one of its first lines, otherwise the same
      format. Lines that are not UTF-8 count for nothing.

    Raises:
      UnreachableError: the first lines cannot be read now.
    """
    if file.format != "text":
        return file.format
    lines = read_lines(file.path, max_document=max_document)
    for _, (_, line) in zip(range(LINES_LOOKED_AT), lines, strict=False):
        if isinstance(line, UnreachableError):
            raise line
        if isinstance(line, TooLongError):
            break
        if isinstance(line, str) and PRETOKEN.search(line):
            return "traces"
    return "text"
