"""Whether a finished job has one row for each document of its corpus."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from jaxlm.errors import WorkError
from jaxlm.scoring.jobs._parts import escape_surrogates
from jaxlm.scoring.jobs._sources import Source


class DocumentChecker:
    """Checks that a job's parts, taken in order, have one row for each document of the corpus.

    It keeps a hash of eight bytes for each id, so that equal hashes need not mean equal ids.

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._completeness import DocumentChecker
      >>> documents = DocumentChecker()
      >>> documents.add(pa.table({"index": [0, 1], "id": ["a", "b"]}), "part-000000")
      0
      >>> documents.has_repetitions()
      False
    """

    def __init__(self) -> None:
        self._count, self._hashes = 0, []

    def add(self, table: pa.Table, name: str) -> int:
        """Takes the rows of a part, and returns the index of the first.

        Args:
          table: of the part, as `encode_part` writes it.
          name: of the part's file, for messages.

        Raises:
          WorkError: if its indices do not follow those of the part before.
        """
        index, first = table["index"].to_numpy(), self._count
        if not np.array_equal(index, first + np.arange(len(index))):
            raise WorkError(
                f"{name} does not go on with document {first}, where the part before it ends: score into "
                f"another folder"
            )
        self._count += len(index)
        self._hashes.append(np.fromiter(map(hash, table["id"].to_pylist()), np.int64, len(index)))
        return first

    def has_repetitions(self) -> bool:
        """Returns whether two documents may have the same id: False is certain."""
        hashes = np.sort(np.concatenate([np.zeros(0, np.int64), *self._hashes]))
        return bool((hashes[1:] == hashes[:-1]).any())

    def check(self, source: Source, num_documents: int, tables: Callable[[], Iterable[pa.Table]]) -> None:
        """Checks that the rows are those of all documents; an id may repeat if the corpus repeats it.

        Args:
          source: the corpus, which is read again if ids repeat.
          num_documents: how many documents the corpus had when it was cut into parts.
          tables: returns the tables of the parts again.

        Raises:
          WorkError: if they are not.
        """
        if self._count != num_documents:
            raise WorkError(
                f"the scores have {self._count:,} documents, the corpus {num_documents:,}: score into "
                f"another folder"
            )
        if not self.has_repetitions():
            return
        documents = (escape_surrogates(document.id) for read in source.readers() for document in read())
        for number, (row, document) in enumerate(itertools.zip_longest(_ids(tables()), documents)):
            if row != document:
                raise WorkError(
                    f"document {number} is {_shown_id(row)} in the scores and {_shown_id(document)} in the "
                    f"corpus: a document is there twice and another not at all; score into another folder"
                )


def _ids(tables: Iterable[pa.Table]) -> Iterator[str]:
    for table in tables:
        yield from table["id"].to_pylist()


def _shown_id(id: str | None) -> str:
    return "none" if id is None else repr(id)
