"""The configuration of a job, the events that it yields, and what it asks of a scorer."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, get_args, runtime_checkable

import pyarrow as pa

from jaxlm import data
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers
from jaxlm.scoring.engine import WorkCounts
from jaxlm.scoring.jobs._parts import Base
from jaxlm.scoring.jobs._sources import OnError
from jaxlm.scoring.measures import Measure

# Characters that fill a part: of a measure that reads each text a few times, and of one that reads it once a
# token, so that a part of either takes about as long.
PART_CHARACTERS, PART_CHARACTERS_BY_TOKEN = 1 << 22, 1 << 17


@runtime_checkable
class RowScorer(Protocol):
    """What a job asks of a scorer; `Scorer` is one.

    Attributes:
      schema: the columns of a row.
      description: JSON values: everything that the numbers depend on.
      work: what its engine has done so far; None for a scorer without an engine.
    """

    schema: pa.Schema
    description: dict[str, Any]

    @property
    def work(self) -> WorkCounts | None:
        """What the scorer's engine has done so far; None for a scorer without an engine."""
        ...

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]:
        """Yields a row for each record, in order; `{"error": line}` for one without a score."""
        ...


@runtime_checkable
class MeasureScorer(Protocol):
    """A scorer of which the measure is known."""

    measure: Measure


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobConfig:
    """How a corpus is cut into parts, and which of them this process scores.

    Attributes:
      part_documents: the most documents of a part.
      part_characters: a part ends with the document that brings it to this many characters of text, which is
        also the most that a killed job loses; None: 4,194,304, and 131,072 for a measure that reads each text
        once a token.
      shard: (i, n): this process scores every n-th part from the i-th on, 1 <= i <= n.
      on_error: "row" writes a row that says why for a document that cannot be read or scored; "stop" ends the
        job there.
      base: of the logarithms in the files, "e" (nats) or "2" (bits).

    Raises:
      ConfigError: if an option is out of range.

    Example:
      >>> from jaxlm.scoring import JobConfig
      >>> JobConfig(shard=(3, 2))
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: shard: expected i/n with 1 <= i <= n, got 3/2
    """

    part_documents: int = 1 << 16
    part_characters: int | None = None
    shard: tuple[int, int] = (1, 1)
    on_error: OnError = "row"
    base: Base = "e"

    def __post_init__(self) -> None:
        check_numbers(self, wide=("part_documents", "part_characters"))
        for name, size in (("part_documents", self.part_documents), ("part_characters", self.characters)):
            if not 1 <= size < 2**63:
                raise ConfigError(f"{name}: expected a whole number from 1 and below 2**63, got {size}")
        for name, value, words in (("on_error", self.on_error, OnError), ("base", self.base, Base)):
            if value not in get_args(words):
                raise ConfigError(f"{name}: expected one of {', '.join(get_args(words))}, got {value!r}")
        if len(self.shard) != 2 or not 1 <= self.shard[0] <= self.shard[1]:
            got = "/".join(map(str, self.shard))
            raise ConfigError(f"shard: expected i/n with 1 <= i <= n, got {got}")

    @property
    def characters(self) -> int:
        """`part_characters`, or its default where it is None."""
        return PART_CHARACTERS if self.part_characters is None else self.part_characters

    def resolved(self, scorer: RowScorer) -> "JobConfig":
        """Returns the config with `part_characters` filled in, by default as suits the scorer's measure.

        Args:
          scorer: that scores the documents.
        """
        by_token = isinstance(scorer, MeasureScorer) and scorer.measure.reads_each_token
        default = PART_CHARACTERS_BY_TOKEN if by_token else PART_CHARACTERS
        filled = default if self.part_characters is None else self.part_characters
        return dataclasses.replace(self, part_characters=filled)


class JobProgress(NamedTuple):
    """How far a job is.

    Attributes:
      documents: scored by this process.
      errors: how many of those have no score.
      tokens: of those documents, as their rows count them.
      parts: written by this process.
      position: index in the corpus of the next document.
      estimate: about how many documents the corpus has; None: unknown.
      seconds: since this process began to look for documents.
      seconds_left: an estimate; None: unknown.
      padding_share: share of the positions computed so far that held no token; None: unknown.
    """

    documents: int
    errors: int
    tokens: int
    parts: int
    position: int
    estimate: int | None
    seconds: float
    seconds_left: float | None
    padding_share: float | None


class JobFinished(NamedTuple):
    """The end of this process's share of a job.

    Attributes:
      progress: the last progress.
      skipped: how many parts of this share had been written before.
      summary: of the whole corpus, as `summary.json` has it; None while parts of other shards are missing.
      missing: numbers of the parts that are missing or damaged, all of them other shards'.
      strays: paths of files that lie among the parts and are no part of this job.
      num_parts: how many parts the whole corpus has.
    """

    progress: JobProgress
    skipped: int
    summary: dict[str, Any] | None
    missing: Sequence[int] = ()
    strays: Sequence[str] = ()
    num_parts: int = 0
