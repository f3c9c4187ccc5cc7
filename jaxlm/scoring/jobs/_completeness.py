"""Whether a finished job has one row for each document of its corpus."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from jaxlm.errors import WorkError
from jaxlm.scoring.jobs._parts import escape_surrogates
from jaxlm.scoring.jobs._sources import Source


class DocumentChecker:
    """The rows of a job's parts, taken in order: indices without a gap, ids without a repetition.

    It keeps eight bytes a document, of which two that are equal need not be of equal ids.

    Example:
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
          table: as `encode_part` writes it.
          name: of its file, for messages.

        Raises:
          WorkError: if its indices do not follow those of the part before.
        """
        index, first = table["index"].to_numpy(), self._count
        if not np.array_equal(index, first + np.arange(len(index))):
            raise WorkError(
                f"{name} holds other documents than those that follow the part before it, from document "
                f"{first} on: score into another folder"
            )
        self._count += len(index)
        self._hashes.append(np.fromiter(map(hash, table["id"].to_pylist()), np.int64, len(index)))
        return first

    def has_repetitions(self) -> bool:
        """Returns whether two documents may have the same id."""
        hashes = np.sort(np.concatenate([np.zeros(0, np.int64), *self._hashes]))
        return bool((hashes[1:] == hashes[:-1]).any())

    def check(self, source: Source, num_documents: int, tables: Callable[[], Iterable[pa.Table]]) -> None:
        """Verifies that the rows are those of all documents; ids may repeat where the corpus repeats them.

        Args:
          source: the corpus, which is read again where ids repeat.
          num_documents: of the corpus, as it was cut.
          tables: returns the tables again.

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
        documents = (escape_surrogates(document.id) for piece in source.pieces() for document in piece())
        for number, (row, document) in enumerate(itertools.zip_longest(_ids(tables()), documents)):
            if row != document:
                raise WorkError(
                    f"the scores have {_named(row)} as document {number}, the corpus {_named(document)}: one "
                    f"is there twice and another not at all; score into another folder"
                )


def _ids(tables: Iterable[pa.Table]) -> Iterator[str]:
    for table in tables:
        yield from table["id"].to_pylist()


def _named(id: str | None) -> str:
    return "no more" if id is None else repr(id)
