"""Rows with the user's own columns beside the scores."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import WorkCounts
from jaxlm.scoring.jobs._job_config import RowScorer
from jaxlm.scoring.measures import ScoreError

# The metadata that marks a column of a part as the user's own.
KEPT = b"kept"
# Columns that every part has, and those that the summary finds by their names.
RESERVED_COLUMNS = ("index", "id", "error", "num_tokens", "num_words", "num_bytes", "bits_per_byte")


class ColumnKeepingScorer:
    """A scorer whose rows begin with the columns that the records keep.

    Attributes:
      schema: the columns of a row.
      description: the wrapped scorer's.

    Args:
      scorer: from records to rows.
      kept: the columns that records keep (`Source.kept`).

    Raises:
      ScoreError: if one of them has the name of one of the scorer's columns.
    """

    def __init__(self, scorer: RowScorer, kept: pa.Schema) -> None:
        for name in kept.names:
            if name in (*RESERVED_COLUMNS, *scorer.schema.names):
                raise ScoreError(
                    f"--keep {name}: the scores have a column of that name: rename yours, or do not keep it"
                )
        self._scorer = scorer
        self.schema = pa.schema([*(field.with_metadata({KEPT: b"1"}) for field in kept), *scorer.schema])
        self.description = scorer.description

    @property
    def work(self) -> WorkCounts | None:
        """What the scorer's engine has done so far; None for a scorer without an engine."""
        return self._scorer.work

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]:
        """Yields a row a record: its kept columns, then the scorer's row, be that a score or an error."""
        own_values: deque[dict[str, Any]] = deque()

        def noted() -> Iterator[data.Record]:
            for record in records:
                own_values.append(dict(record.kept or {}))
                yield record

        for row in self._scorer(noted()):
            yield {**own_values.popleft(), **row}


def with_kept_columns(scorer: RowScorer, kept: pa.Schema) -> RowScorer:
    """Returns a scorer whose rows have the kept columns too; the scorer itself if there are none.

    Args:
      scorer: from records to rows.
      kept: the columns that records keep (`Source.kept`).

    Raises:
      ScoreError: if one of them has the name of one of the scorer's columns.
    """
    return ColumnKeepingScorer(scorer, kept) if len(kept) else scorer


def is_kept(field: pa.Field) -> bool:
    """Returns whether a column of a part is the user's own.

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._kept_columns import is_kept
      >>> is_kept(pa.field("year", pa.int64(), metadata={"kept": "1"})), is_kept(pa.field("id", pa.string()))
      (True, False)
    """
    return KEPT in (field.metadata or {})
