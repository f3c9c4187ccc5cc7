"""The records that every source yields, and what a source does with a record that it cannot read."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jaxlm.errors import CorpusError

# The default limit of a document's bytes: without one, a small compressed file could decompress without end.
MAX_DOCUMENT = 1 << 26
# The field that holds a record's own id, in files that have such a field.
OWN_ID = "id"


class Record(NamedTuple):
    """One document, sequence or function of a corpus.

    Attributes:
      id: a readable name that is unique within the corpus and usually says where the record stands, such as
        `tales.txt:12` or `json.decoder:py_scanstring@69`.
      text: what the tokenizer encodes.
      meta: further strings by name. Records with the same entry `group`, such as a module, stay in one split.
        The entry `where` holds the file and line for error messages, if the id does not say them. Both
        entries are optional.
      kept: values of further columns of the user's file, by name of the column, which are copied beside the
        record's scores. Arrow can store each value. None: no columns were requested.

    Example:
      >>> from jaxlm.data import Record, Splits
      >>> records = [Record(f"json:{n}", str(n), {"group": "json"}) for n in range(9)]
      >>> len({Splits(0.2, 0.2, {}).of(record) for record in records})
      1
    """

    id: str
    text: str
    meta: dict[str, str]
    kept: Mapping[str, Any] | None = None


def check_length(size: int, most: int, where: str) -> None:
    """Raises an error if a document is longer than the limit.

    Args:
      size: bytes of the document, or of the part read so far.
      most: the limit, in bytes.
      where: file and line, for the message.

    Raises:
      TooLongError: `size` is above the limit.

    Example:
      >>> from jaxlm.data.sources._records import check_length
      >>> check_length(9, 8, "a.txt:1")
      Traceback (most recent call last):
      ...
      jaxlm.data.sources._records.TooLongError: a.txt:1: a document of more than 8 bytes; divide it, ...
    """
    if size > most:
        raise TooLongError(
            f"{where}: a document of more than {most:,} bytes; divide it, or raise max_document, if it is "
            f"meant to be so long"
        )


class TooLongError(CorpusError):
    """A document is longer than `max_document`."""


class UnreachableError(CorpusError):
    """A file could not be read although nothing is wrong with its content; another attempt may succeed.

    This error always stops the reading: if the reading went on, the missing part would change the corpus.
    """


class UnreadableRecord(NamedTuple):
    """An entry of a stream of records in the place of a record that could not be read.

    Attributes:
      id: the id that the record would have, such as `tales.jsonl:12`, or the name of the unreadable part,
        such as `tales.parquet:row group 3`.
      error: one line that says what was expected, what was found instead, and where.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxlm.data import open_source_with_errors
      >>> path = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
      >>> _ = path.write_text('{"text": "one"}\\nno JSON\\n')
      >>> [item.id for item in open_source_with_errors(path) if hasattr(item, "error")]
      ['a.jsonl:2']
    """

    id: str
    error: str


class ReadFailure(NamedTuple):
    """A record that could not be read, before it is decided whether it stops the reading.

    Attributes:
      id: as a record's id.
      error: what is wrong with the record.
    """

    id: str
    error: CorpusError


# What the reader of each format yields.
SourceItem = Record | ReadFailure


def raise_failures(items: Iterator[SourceItem]) -> Iterator[Record]:
    """Yields the records; the first failure is raised.

    Raises:
      CorpusError: the error of the first failure.
    """
    for item in items:
        if isinstance(item, ReadFailure):
            raise item.error
        yield item


def yield_failures(items: Iterator[SourceItem]) -> Iterator[Record | UnreadableRecord]:
    """Yields the records, and an `UnreadableRecord` for each failure.

    Raises:
      UnreachableError: a failure is one that another attempt may not have.

    Example:
      >>> from jaxlm.data import CorpusError
      >>> from jaxlm.data.sources._records import ReadFailure, yield_failures
      >>> next(yield_failures(iter([ReadFailure("a.txt:1", CorpusError("a.txt:1: not UTF-8"))])))
      UnreadableRecord(id='a.txt:1', error='a.txt:1: not UTF-8')
    """
    for item in items:
        if isinstance(item, Record):
            yield item
        elif isinstance(item.error, UnreachableError):
            raise item.error
        else:
            yield UnreadableRecord(item.id, " ".join(str(item.error).split()))
