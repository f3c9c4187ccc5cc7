"""Sources whose records are lines: text, traces and JSON Lines."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    CorpusError,
    ReadFailure,
    Record,
    SourceItem,
    raise_failures,
)
from jaxlm.data.sources._remote import Place, to_place
from jaxlm.data.sources._streams import read_lines, read_text

Document = Literal["line", "file"]
DECODE = json.JSONDecoder().decode


def text_source(
    path: str | Place,
    *,
    document: Document = "line",
    name: str | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record]:
    """Yields the documents of a text file.

    Args:
      path: a file in UTF-8, local or at a URL, plain or compressed (`.gz`, `.zst`).
      document: "line" makes a document of each line that is not blank, "file" makes one of the whole file.
      name: the beginning of each id. None: ids begin with the file's name.
      max_document: the largest size of a decompressed document, in bytes. A longer document is an error.

    Yields:
      Records with the id `name:line`, where lines are counted from 1; for "file", one record with the id
      `name`.

    Raises:
      CorpusError: the file cannot be read or is not UTF-8.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import text_source
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "tales.txt").write_text("one\\n\\nthree\\n")
      ...     [record.id for record in text_source(pathlib.Path(folder, "tales.txt"))]
      ['tales.txt:1', 'tales.txt:3']
    """
    return raise_failures(text_items(path, document=document, name=name, max_document=max_document))


def text_items(
    path: str | Place, *, document: Document, name: str | None, max_document: int
) -> Iterator[SourceItem]:
    """Yields what `text_source` does, and failures instead of documents that cannot be read.

    Args:
      path: as for `text_source`.
      document: "line" or "file", what a record is.
      name: what ids begin with; None: the file's name.
      max_document: the most bytes of a document, decompressed.
    """
    path = to_place(path)
    name = path.name if name is None else name
    if document == "file":
        try:
            text = read_text(path, max_document)
        except CorpusError as error:
            yield ReadFailure(name, error)
            return
        yield Record(name, text, {})
        return
    for number, line in read_lines(path, max_document=max_document):
        if isinstance(line, CorpusError):
            yield ReadFailure(f"{name}:{number}", line)
        elif line and not line.isspace():
            yield Record(f"{name}:{number}", line.rstrip("\r\n"), {})


def traces_source(
    path: str | Place, *, name: str | None = None, max_document: int = MAX_DOCUMENT
) -> Iterator[Record]:
    """Yields the functions of a file of instruction traces, in which each line is one function.

    A trace is the text of a function's instructions: opcodes and operands as pretokens (units that a
    tokenizer divides into tokens one by one) separated by spaces, with `[NEXT]` between instructions and not
    after the last one: `xor eax eax [NEXT] add rax [ rbx + 42 ]`.

    Args:
      path: a file in UTF-8, local or at a URL, plain or compressed (`.gz`, `.zst`). Blank lines are skipped.
      name: the beginning of each id. None: ids begin with the file's name.
      max_document: the largest size of a decompressed line, in bytes. A longer line is an error.

    Yields:
      Records with the id `name:line`, where lines are counted from 1. Their texts have single spaces between
      pretokens.

    Raises:
      CorpusError: the file cannot be read or is not UTF-8.
    """
    return raise_failures(traces_items(path, name=name, max_document=max_document))


def traces_items(path: str | Place, *, name: str | None, max_document: int) -> Iterator[SourceItem]:
    """Yields what `traces_source` does, and failures instead of lines that cannot be read.

    Args:
      path: as for `traces_source`.
      name: what ids begin with; None: the file's name.
      max_document: the most bytes of a line, decompressed.
    """
    for item in text_items(path, document="line", name=name, max_document=max_document):
        yield item._replace(text=" ".join(item.text.split())) if isinstance(item, Record) else item


def jsonl_source(
    path: str | Place,
    *,
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Sequence[str] = (),
    name: str | None = None,
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record]:
    """Yields one record for each line of a JSON Lines file.

    Args:
      path: a file in UTF-8 with one JSON object on each line, local or at a URL, plain or compressed (`.gz`,
        `.zst`). Blank lines are skipped.
      field: the field that holds the text; a null counts as an empty text.
      fields: further fields, whose values (strings, numbers or bools) go into the record's `meta` as strings.
        A null gets no entry.
      keep: further fields, whose values go unchanged into the record's `kept`. If a line lacks the field, the
        value is None.
      name: the beginning of each id. None: ids begin with the file's name.
      max_document: the largest size of a decompressed line, in bytes. A longer line is an error.

    Yields:
      Records with the id `name:line`, where lines are counted from 1.

    Raises:
      CorpusError: a line is not a JSON object, lacks a field, holds no text in `field` (half a surrogate pair
        is no text), or no plain value in a further field. The message names the line and the fields of the
        object.
    """
    items = jsonl_items(path, field=field, fields=fields, keep=keep, name=name, max_document=max_document)
    return raise_failures(items)


def jsonl_items(
    path: str | Place,
    *,
    field: str,
    fields: Sequence[str],
    keep: Sequence[str],
    name: str | None,
    max_document: int,
) -> Iterator[SourceItem]:
    """Yields what `jsonl_source` does, and failures instead of lines that cannot be read.

    Args:
      path: as for `jsonl_source`.
      field: the field of the text.
      fields: further fields, whose values go into `meta`.
      keep: fields whose values go into `kept`.
      name: what ids begin with; None: the file's name.
      max_document: the most bytes of a line, decompressed.

    Raises:
      CorpusError: the first record lacks a field: the request is wrong, not the record.
    """
    path = to_place(path)
    name = path.name if name is None else name
    is_first = True
    for number, line in read_lines(path, max_document=max_document):
        try:
            if isinstance(line, CorpusError):
                raise line
            if not line or line.isspace():
                continue
            yield _record(line, f"{name}:{number}", f"{path}:{number}", field, fields, keep)
            is_first = False
        except _FieldError as error:
            if is_first:
                raise
            yield ReadFailure(f"{name}:{number}", error)
        except CorpusError as error:
            yield ReadFailure(f"{name}:{number}", error)


class _FieldError(CorpusError):
    """A record lacks a field. If the first record of a file does, the request is wrong, not the record."""


def _record(line: str, id: str, where: str, field: str, fields: Sequence[str], keep: Sequence[str]) -> Record:
    value = _object(line, where)
    meta = {name: _scalar(value, name, where) for name in fields if _entry(value, name, where) is not None}
    kept = {name: value.get(name) for name in keep} if keep else None
    return Record(id, _text(value, field, where), meta, kept)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = _decoded(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorpusError(f"{where}: not JSON ({error}); expected one object a line") from error
    except ValueError as error:
        # Python refuses integers of more than some thousand digits.
        raise CorpusError(f"{where}: JSON that cannot be read ({error}); shorten the number") from error
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: expected a JSON object a line, got {type(value).__name__}")
    return value


def _decoded(line: str) -> Any:
    """The value that `json.loads` gives for the line, or the error that it raises."""
    try:
        return DECODE(line)
    except (ValueError, RecursionError):
        return json.loads(line.rstrip("\r\n"))


def _text(value: dict[str, Any], field: str, where: str) -> str:
    text = _entry(value, field, where)
    if not isinstance(text, str | None):
        raise CorpusError(f"{where}: field {field!r} should hold text, got {type(text).__name__}")
    return _encodable(text or "", field, where)


def _scalar(value: dict[str, Any], field: str, where: str) -> str:
    entry = _entry(value, field, where)
    if not isinstance(entry, str | int | float):
        raise CorpusError(
            f"{where}: field {field!r} should hold text, a number or a truth value, got "
            f"{type(entry).__name__}"
        )
    return _encodable(str(entry), field, where)


def _entry(value: dict[str, Any], field: str, where: str) -> Any:
    if field not in value:
        there = ", ".join(map(repr, value)) or "none"
        raise _FieldError(f"{where}: no field {field!r}; the fields there are {there}: name one of them")
    return value[field]


def _encodable(text: str, field: str, where: str) -> str:
    """The text; refused if it holds half a surrogate pair, which JSON can escape and UTF-8 cannot write."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        escaped = f"\\u{ord(text[error.start]):04x}"
        raise CorpusError(
            f"{where}: field {field!r} is not text at character {error.start} ({escaped}, half a surrogate "
            f"pair); write the character whole, or leave it out"
        ) from error
    return text
