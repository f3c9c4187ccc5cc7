"""What every source yields, and the one error that a user's corpus can cause."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from jaxlm.errors import CorpusError

Broken = Literal["stop", "yield"]
# Bytes of a document, where nobody says more: what a compressed file may claim has no other end.
MAX_DOCUMENT = 1 << 26
# The field in which a corpus names its records, where it has one.
OWN_ID = "id"


class Record(NamedTuple):
    """One document, sequence or function of a corpus.

    Attributes:
      id: where it came from, readable and unique within its corpus: `tales.txt:12`,
        `json.decoder:py_scanstring@69`.
      text: what the tokenizer encodes.
      meta: what else the source knows. `group` (optional) names what must not be divided between splits, a
        module say; `where` (optional) file and line, for errors, where the id does not say them.
      kept: columns that travel beside the text, by name, where some were asked for: values as Arrow takes
        them.

    Example:
      >>> from jaxlm.data import Record
      >>> Record("tales.txt:1", "once upon a time", {}).text
      'once upon a time'
    """

    id: str
    text: str
    meta: dict[str, str]
    kept: Mapping[str, Any] | None = None


def check_length(size: int, most: int, where: str) -> None:
    """Refuses a document that is longer than documents may be.

    Args:
      size: of the document, or of what was read of it so far.
      most: bytes that it may have.
      where: file and line, for the message.

    Raises:
      TooLongError: it is longer.

    Example:
      >>> from jaxlm.data.sources._records import check_length
      >>> check_length(9, 8, "a.txt:1")
      Traceback (most recent call last):
      ...
      jaxlm.data.sources._records.TooLongError: a.txt:1: a document of more than 8 bytes; divide it, or raise ...
    """
    if size > most:
        told = f"{where}: a document of more than {most:,} bytes"
        raise TooLongError(f"{told}; divide it, or raise max_document, if it is meant to be so long")


class TooLongError(CorpusError):
    """A document is longer than documents may be."""


class UnreachableError(CorpusError):
    """Reading has failed for no fault of the content, and may succeed another time.

    A corpus read on behind it would be another one: it ends every reading.
    """


class UnreadableRecord(NamedTuple):
    """What stands in a source's stream for a piece of the corpus that could not be read.

    Attributes:
      id: as a record's: `tales.jsonl:12`, `tales.parquet:row group 3`.
      error: one line: what was expected, what came, where.

    Example:
      >>> from jaxlm.data import UnreadableRecord
      >>> UnreadableRecord("a.jsonl:2", "a.jsonl:2: not JSON").id
      'a.jsonl:2'
    """

    id: str
    error: str


def unreadable_record(id: str, error: CorpusError, broken: Broken) -> UnreadableRecord:
    """Returns an error as an item of the stream, or raises it where broken pieces stop the reading.

    Args:
      id: of the piece.
      error: what is wrong with it.
      broken: "yield" or "stop".

    Returns:
      The item.

    Raises:
      CorpusError: the error itself, with "stop", or where it is an `UnreachableError`.

    Example:
      >>> from jaxlm.data.sources._records import unreadable_record
      >>> from jaxlm.errors import CorpusError
      >>> unreadable_record("a.txt:1", CorpusError("a.txt:1: not UTF-8"), "yield")
      Unread(id='a.txt:1', error='a.txt:1: not UTF-8')
    """
    if broken == "stop" or isinstance(error, UnreachableError):
        raise error
    return UnreadableRecord(id, " ".join(str(error).split()))
