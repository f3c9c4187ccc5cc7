"""How a job is cut and told of: its config and its events, and what it asks of a scorer."""

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


@runtime_checkable
class RowScorer(Protocol):
    """What a job asks of a scorer (see `Scorer`).

    Attributes:
      schema: of a row.
      description: JSON values, all that the numbers depend on.
      work: what its engine has done so far; None where it has none.
    """

    schema: pa.Schema
    description: dict[str, Any]

    @property
    def work(self) -> WorkCounts | None: ...

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobConfig:
    """How a corpus is cut, and which piece of the work is done here.

    Attributes:
      part_documents: the most documents of a part.
      part_characters: the characters of text that are enough for a part: what a kill loses at most.
      shard: (i, n): every n-th part from the i-th on is scored here, 1 <= i <= n.
      on_error: whether a document that cannot be read or scored becomes a row that says why ("row"), or ends
        the job ("stop").
      base: of logarithms in the files, "e" or "2".

    Raises:
      ConfigError: if an option is out of range.

    Example:
      >>> JobConfig(shard=(3, 2))
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: shard: expected i/n with 1 <= i <= n, got 3/2
    """

    part_documents: int = 1 << 16
    part_characters: int = 1 << 22
    shard: tuple[int, int] = (1, 1)
    on_error: OnError = "row"
    base: Base = "e"

    def __post_init__(self) -> None:
        check_numbers(self, wide=("part_documents", "part_characters"))
        for name in ("part_documents", "part_characters"):
            if not 1 <= getattr(self, name) < 2**63:
                raise ConfigError(
                    f"{name}: expected a whole number from 1 and below 2**63, got {getattr(self, name)}"
                )
        for name, words in (("on_error", OnError), ("base", Base)):
            if getattr(self, name) not in get_args(words):
                raise ConfigError(
                    f"{name}: expected one of {', '.join(get_args(words))}, got {getattr(self, name)!r}"
                )
        if len(self.shard) != 2 or not 1 <= self.shard[0] <= self.shard[1]:
            got = "/".join(map(str, self.shard))
            raise ConfigError(f"shard: expected i/n with 1 <= i <= n, got {got}")


class JobProgress(NamedTuple):
    """How far a job is.

    Attributes:
      documents: scored here, by this process.
      errors: of those, without a score.
      tokens: of those, as their rows count them.
      parts: written here.
      position: index in the corpus of the next document.
      estimate: about how many documents the corpus has; None: unknown.
      seconds: since the first document was looked at.
      seconds_left: an estimate; None: unknown.
      padding_share: of the positions computed so far; None: unknown.
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
    """The end of this process's share.

    Attributes:
      progress: the last one.
      skipped: parts that were there already.
      summary: of the whole corpus (see `summarize`), once no part is missing; None: other shards are at work.
      missing: numbers of the parts that are missing, or damaged, all of other shards.
      strays: files that lie among the parts and are none of them, by their path.
    """

    progress: JobProgress
    skipped: int
    summary: dict[str, Any] | None
    missing: Sequence[int] = ()
    strays: Sequence[str] = ()
