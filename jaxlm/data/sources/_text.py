"""Sources whose records are lines: text, traces and JSON Lines."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from jaxlm.data.sources._records import (
    MAX_DOCUMENT,
    Broken,
    CorpusError,
    Record,
    UnreadableRecord,
    unreadable_record,
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
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields the documents of a text file.

    Args:
      path: a UTF-8 file, here or at a URL, plain, `.gz` or `.zst`.
      document: "line" makes each line that is not blank a document, "file" the whole file one.
      name: what ids begin with; the file's name where None.
      broken: whether what cannot be read stops the reading or is yielded as `UnreadableRecord`.
      max_document: the most bytes of a document, decompressed.

    Yields:
      Records `name:line`, or one record `name`.

    Raises:
      CorpusError: the file cannot be read or is not UTF-8.

    Example:
      >>> from jaxlm.data import text_source
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "tales.txt").write_text("one\\n\\nthree\\n")
      ...     [record.id for record in text_source(pathlib.Path(folder, "tales.txt"))]
      ['tales.txt:1', 'tales.txt:3']
    """
    path = to_place(path)
    name = path.name if name is None else name
    if document == "file":
        try:
            text = read_text(path, max_document)
        except CorpusError as error:
            yield unreadable_record(name, error, broken)
            return
        yield Record(name, text, {})
        return
    for number, line in read_lines(path, max_document=max_document):
        if isinstance(line, CorpusError):
            yield unreadable_record(f"{name}:{number}", line, broken)
        elif line and not line.isspace():
            yield Record(f"{name}:{number}", line.rstrip("\r\n"), {})


def traces_source(
    path: str | Place,
    *,
    name: str | None = None,
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields the functions of a file of instruction traces, one a line.

    A trace is pretokens separated by spaces with `[NEXT]` between instructions (none after the last):
    `xor eax eax [NEXT] add rax [ rbx + 42 ]`.

    Args:
      path: a UTF-8 file, here or at a URL, plain, `.gz` or `.zst`.
      name: what ids begin with; the file's name where None.
      broken: as for `text_source`.
      max_document: as for `text_source`.

    Yields:
      Records `name:line` with single spaces between pretokens; blank lines are passed over.

    Raises:
      CorpusError: the file cannot be read or is not UTF-8.
    """
    for record in text_source(path, name=name, broken=broken, max_document=max_document):
        if isinstance(record, Record):
            record = record._replace(text=" ".join(record.text.split()))
        yield record


def jsonl_source(
    path: str | Place,
    *,
    field: str = "text",
    fields: Sequence[str] = (),
    keep: Sequence[str] = (),
    name: str | None = None,
    broken: Broken = "stop",
    max_document: int = MAX_DOCUMENT,
) -> Iterator[Record | UnreadableRecord]:
    """Yields one record a line of a JSON Lines file.

    Args:
      path: a UTF-8 file of one JSON object a line, plain, `.gz` or `.zst`, here or at a URL; blank
        lines are passed over.
      field: the field that holds the text; null counts as an empty text.
      fields: further fields, whose values (text, numbers or truth values, as text) go into `meta`; null
        does not.
      keep: fields whose values go into `kept` as they are, None where a record lacks one.
      name: what ids begin with; the file's name where None.
      broken: as for `text_source`; a field that the first record of a file lacks stops the reading anyway.
      max_document: the most bytes of a line, decompressed.

    Yields:
      Records `name:line`.

    Raises:
      CorpusError: a line is not a JSON object, lacks a field, or holds something else than text in `field`
        (half a surrogate pair is no text) or than a value in another; names the line and the fields there
        are.
    """
    path = to_place(path)
    name = path.name if name is None else name
    place, is_first = str(path), True
    for number, line in read_lines(path, max_document=max_document):
        try:
            if isinstance(line, CorpusError):
                raise line
            if not line or line.isspace():
                continue
            yield _record(line, f"{name}:{number}", f"{place}:{number}", field, fields, keep)
            is_first = False
        except _FieldError as error:
            yield unreadable_record(f"{name}:{number}", error, "stop" if is_first else broken)
        except CorpusError as error:
            yield unreadable_record(f"{name}:{number}", error, broken)


class _FieldError(CorpusError):
    """A record lacks a field: of a file's first one, the request is wrong and not the record."""


def _record(line: str, id: str, where: str, field: str, fields: Sequence[str], keep: Sequence[str]) -> Record:
    value = _object(line, where)
    meta = {one: _scalar(value, one, where) for one in fields if _there(value, one, where) is not None}
    kept = {one: value.get(one) for one in keep} if keep else None
    return Record(id, _text(value, field, where), meta, kept)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = _decoded(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorpusError(f"{where}: not JSON ({error}); expected one object a line") from error
    except ValueError as error:
        # Python reads no integer of more than some thousand digits.
        raise CorpusError(f"{where}: JSON that cannot be read ({error}); shorten the number") from error
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: expected a JSON object a line, got {type(value).__name__}")
    return value


def _decoded(line: str) -> Any:
    """What `json.loads` says of a line without its end, and what it raises."""
    try:
        return DECODE(line)
    except (ValueError, RecursionError):
        return json.loads(line.rstrip("\r\n"))


def _text(value: dict[str, Any], field: str, where: str) -> str:
    text = _there(value, field, where)
    if not isinstance(text, str | None):
        raise CorpusError(f"{where}: field {field!r} should hold text, got {type(text).__name__}")
    return _encodable(text or "", field, where)


def _scalar(value: dict[str, Any], field: str, where: str) -> str:
    found = _there(value, field, where)
    if not isinstance(found, str | int | float):
        raise CorpusError(
            f"{where}: field {field!r} should hold text, a number or a truth value, got "
            f"{type(found).__name__}"
        )
    return _encodable(str(found), field, where)


def _there(value: dict[str, Any], field: str, where: str) -> Any:
    if field not in value:
        there = ", ".join(map(repr, value)) or "none"
        raise _FieldError(f"{where}: no field {field!r}; the fields there are {there}: name one of them")
    return value[field]


def _encodable(text: str, field: str, where: str) -> str:
    """The text itself, unless it holds a surrogate: JSON can escape half a pair, no encoding can write it."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"\\u{ord(text[error.start]):04x}"
        raise CorpusError(
            f"{where}: field {field!r} is not text at character {error.start} ({found}, half a surrogate "
            f"pair); write the character whole, or leave it out"
        ) from error
    return text
