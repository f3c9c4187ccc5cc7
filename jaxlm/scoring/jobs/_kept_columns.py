"""Rows with the user's own columns beside the scores."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import WorkCounts
from jaxlm.scoring.jobs._job_config import RowScorer
from jaxlm.scoring.measures import ScoreError

KEPT = b"kept"
# Of a part's own, and what is counted and pooled by its name.
OWN_COLUMNS = ("index", "id", "error", "num_tokens", "num_words", "num_bytes", "bits_per_byte")


class ColumnKeepingScorer:
    """A scorer whose rows have the columns that records keep, before its own.

    Attributes:
      schema: of a row.
      description: the scorer's.

    Args:
      scorer: from records to rows.
      kept: the columns.

    Raises:
      ScoreError: if one of them has the name of one of the scorer's.
    """

    def __init__(self, scorer: RowScorer, kept: pa.Schema) -> None:
        for name in kept.names:
            if name in (*OWN_COLUMNS, *scorer.schema.names):
                raise ScoreError(
                    f"--keep {name}: the scores have a column of that name: rename yours, or do not keep it"
                )
        self._scorer = scorer
        self._names = kept.names
        self.schema = pa.schema([*(field.with_metadata({KEPT: b"1"}) for field in kept), *scorer.schema])
        self.description = scorer.description

    @property
    def work(self) -> WorkCounts | None:
        """What the scorer's engine has done so far, None where it has none."""
        return self._scorer.work

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]:
        """Yields the scorer's rows, those of records without a score too, with what each record keeps."""
        kept: deque[dict[str, Any]] = deque()

        def drawn() -> Iterator[data.Record]:
            for record in records:
                kept.append(dict(record.kept or {}))
                yield record

        for row in self._scorer(drawn()):
            yield {**kept.popleft(), **row}


def with_kept_columns(scorer: RowScorer, kept: pa.Schema) -> RowScorer:
    """Returns a scorer whose rows have further columns; the scorer itself where there are none.

    Args:
      scorer: from records to rows.
      kept: the columns, of `Source`.

    Raises:
      ScoreError: as `ColumnKeepingScorer`.
    """
    return ColumnKeepingScorer(scorer, kept) if len(kept) else scorer


def is_kept(field: pa.Field) -> bool:
    """Returns whether a column of a part is the user's own.

    Example:
      >>> is_kept(pa.field("year", pa.int64(), metadata={"kept": "1"})), is_kept(pa.field("id", pa.string()))
      (True, False)
    """
    return KEPT in (field.metadata or {})
