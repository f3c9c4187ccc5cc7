"""One lazy iterator over every record that paths name, whatever their formats."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxlm import tokenizers
from jaxlm.data.sources._csv import csv_source
from jaxlm.data.sources._fasta import fasta_source
from jaxlm.data.sources._files import CorpusFile, Format, find_files
from jaxlm.data.sources._kept_columns import with_kept_fields
from jaxlm.data.sources._parquet import parquet_source
from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    OWN_ID,
    Broken,
    CorpusError,
    Record,
    TooLongError,
    UnreachableError,
    UnreadableRecord,
    unreadable_record,
)
from jaxlm.data.sources._streams import read_lines
from jaxlm.data.sources._text import Document, jsonl_source, text_source, traces_source
from jaxlm.data.sources._watch import FileWatch

LINES_LOOKED_AT = 100
PRETOKEN = re.compile(r"(?<!\S)\[NEXT\](?!\S)")
# Formats whose records have fields.
FORMATS_WITH_FIELDS = ("jsonl", "csv", "parquet")


def open_source(
    paths: Sequence[str | Path] | str | Path,
    format: Format | None = None,
    *,
    document: Document = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Returns a lazy iterator over the records of files, folders and globs, in the order of their paths.

    The paths are looked up at once, the files are opened as the iterator reaches them. A text file whose
    first lines hold the pretoken `[NEXT]` is a file of traces, unless the whole file is one document.

    Args:
      paths: one or several files, folders or glob patterns, here or at URLs.
      format: how to read every file ("text", "jsonl", "csv", "parquet", "fasta", "traces"); None takes
        it from each ending.
      document: of a text file, whether a line or the whole file is one document.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      fields: further fields or columns, whose values go into `meta`.
      broken: whether a line, a row or a row group that cannot be read stops the reading, or is yielded as
        `UnreadableRecord` and the reading goes on.
      max_document: the most bytes of a document, decompressed; of JSONL and CSV, of a line.

    Returns:
      The records; ids begin with a file's path below the folder that all files share.

    Raises:
      CorpusError: a path is missing, its format is not known, no file is text though a file of it was to be
        one document, a file has no fields though some were asked for, or (while iterating) a file is not
        what its format says, or (at the end) one changed while they were read.
    """
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    files, fields = find_files([str(path) for path in several], format), tuple(tokenizers.as_texts(fields))
    check_document(files, document)
    check_fields(files, fields)
    sniff = format is None and document == "line"
    how = {"document": document, "field": field, "fields": fields, "broken": broken}
    how |= {"max_document": max_document}
    return _read_unchanged(files, sniff=sniff, **how)


def _read_unchanged(files: Sequence[CorpusFile], **how: Any) -> Iterator[Record | UnreadableRecord]:
    watch = FileWatch([file.path for file in files])
    yield from read_files(files, **how)
    watch.check()


def read_files(
    files: Sequence[CorpusFile],
    *,
    sniff: bool = False,
    document: Document = "line",
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Mapping[str, Any] | None = None,
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields the records of files already found.

    Args:
      files: from `find_files`.
      sniff: whether a text file may turn out to be one of traces.
      document: as for `open_source`.
      field: as for `open_source`.
      fields: as for `open_source`.
      keep: columns whose values go into `kept`, by their types (see `kept_column_types`); with it, be it empty, a
        record of a file that has a column `id` has what that says as its id. None: neither.
      broken: as for `open_source`.
      max_document: as for `open_source`.

    Yields:
      Their records in order.

    Raises:
      CorpusError: a file is not what its format says.
    """
    asked = {"field": field, "fields": fields, "document": document, "broken": broken}
    asked |= {"max_document": max_document}
    for file in files:
        format = format_of(file, max_document) if sniff else file.format
        if keep is None or format not in FORMATS_WITH_FIELDS:
            yield from _read(file._replace(format=format), **asked)
            continue
        for record in _read(file, keep={**keep, OWN_ID: None}, **asked):
            if isinstance(record, Record):
                try:
                    record = with_kept_fields(record, keep, file)
                except CorpusError as error:
                    record = unreadable_record(record.id, error, broken)
            yield record


def _read(
    file: CorpusFile,
    *,
    document: Document,
    field: str,
    fields: Sequence[str],
    broken: Broken,
    max_document: int,
    keep: Mapping[str, Any] | None = None,
) -> Iterator[Record | UnreadableRecord]:
    named = {"name": file.name, "broken": broken, "max_document": max_document}
    columns = {"field": field, "fields": fields, **named}
    match file.format:
        case "text":
            return text_source(file.path, document=document, **named)
        case "traces":
            return traces_source(file.path, **named)
        case "jsonl":
            return jsonl_source(file.path, keep=tuple(keep or ()), **columns)
        case "csv":
            return csv_source(file.path, keep=tuple(keep or ()), **columns)
        case "parquet":
            return parquet_source(file.path, keep=keep, **columns)
        case "fasta":
            return fasta_source(file.path, **named)
    raise CorpusError(f"{file.path}: unknown format {file.format!r}")


def check_document(files: Sequence[CorpusFile], document: Document) -> None:
    """Refuses `document="file"` where no file is text, since it would change nothing.

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
    """Refuses fields of files that have none.

    Args:
      files: from `find_files`.
      fields: as for `open_source`.
      remedy: what helps, for the message.

    Raises:
      CorpusError: one of the files is neither JSONL nor CSV nor Parquet.
    """
    without = [file for file in files if file.format not in FORMATS_WITH_FIELDS]
    if fields and without:
        raise CorpusError(
            f"{without[0].path}: a file of format {without[0].format!r} has no field {fields[0]!r}; {remedy}"
        )


def format_of(file: CorpusFile, max_document: int = MAX_DOCUMENT) -> Format:
    """Returns the file's format, having looked whether its text is made of traces.

    Args:
      file: from `find_files`, with the format that its ending says.
      max_document: the most bytes of a line; behind a longer one nothing is looked at.

    Returns:
      "traces" for a text file with the pretoken `[NEXT]` in one of its first lines, otherwise the same
      format; lines that are not UTF-8 say nothing.

    Raises:
      UnreachableError: its first lines cannot be read now.
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
