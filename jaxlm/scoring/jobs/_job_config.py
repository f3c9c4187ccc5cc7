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
    """What a job asks of a scorer, which yields one row for each record; `Scorer` is such a class.

    Attributes:
      schema: the columns of a row, an Arrow schema.
      description: everything that the numbers depend on, as JSON values.
      work: how much the scorer's engine has computed so far; None for a scorer without an engine.
    """

    schema: pa.Schema
    description: dict[str, Any]

    @property
    def work(self) -> WorkCounts | None:
        """How much the scorer's engine has computed so far; None for a scorer without an engine."""
        ...

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]:
        """Yields one row for each record, in order; `{"error": line}` for a record without a score."""
        ...


@runtime_checkable
class MeasureScorer(Protocol):
    """A scorer of which the measure is known."""

    measure: Measure


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobConfig:
    """How a job divides a corpus into parts, and which parts this process scores.

    A part is a run of consecutive documents that are written to one file.

    Attributes:
      part_documents: the largest number of documents in a part.
      part_characters: a part ends with the document that brings it to this many characters of text, and a
        killed job loses no more than that; None: 4,194,304, or 131,072 for a measure that reads a text once
        for each of its tokens.
      shard: (i, n) with 1 <= i <= n: the job is shared by n processes, and this process scores every n-th
        part from the i-th on. (1, 1): it scores all parts.
      on_error: what happens at a document that cannot be read or scored. "row" writes a row without scores,
        whose column `error` says why; "stop" ends the job there with an exception.
      base: the base of the logarithms in the files: "e" (nats) or "2" (bits).

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
        """`part_characters`, or 4,194,304 if that is None."""
        return PART_CHARACTERS if self.part_characters is None else self.part_characters

    def resolved(self, scorer: RowScorer) -> "JobConfig":
        """Returns the config with `part_characters` filled in, by default as suits the scorer's measure.

        Args:
          scorer: the scorer that scores the documents.
        """
        by_token = isinstance(scorer, MeasureScorer) and scorer.measure.reads_each_token
        default = PART_CHARACTERS_BY_TOKEN if by_token else PART_CHARACTERS
        filled = default if self.part_characters is None else self.part_characters
        return dataclasses.replace(self, part_characters=filled)


class JobProgress(NamedTuple):
    """How far this process has come with a job.

    Attributes:
      documents: the number of documents that this process has scored.
      errors: how many of these documents have no score.
      tokens: the number of tokens of these documents, as the column `num_tokens` counts them.
      parts: the number of parts that this process has written.
      position: the index of the next document in the corpus, from 0.
      estimate: about how many documents the corpus has; None: unknown.
      seconds: the seconds since this process began to look for documents.
      seconds_left: the estimated seconds until this process has finished; None: unknown.
      padding_share: the share of the positions computed so far that held no token, in [0, 1]; None: unknown.
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
    """The result of this process's share of a job.

    Attributes:
      progress: the last progress, with the final counts.
      skipped: how many parts of this process's share an earlier run had written.
      summary: the summary of the whole corpus, the content of `summary.json`; None while parts of other
        processes' shards are missing.
      missing: the numbers of the parts that are missing or damaged; all of them belong to other processes'
        shards.
      strays: the paths of files that lie among the parts but do not belong to this job.
      num_parts: how many parts the whole corpus has.
    """

    progress: JobProgress
    skipped: int
    summary: dict[str, Any] | None
    missing: Sequence[int] = ()
    strays: Sequence[str] = ()
    num_parts: int = 0
