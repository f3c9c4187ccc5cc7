"""What a measure's queries are answered by, if it is not an `Engine`."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from jaxlm.scoring.engine._engine_config import EngineSettings, WorkCounts
from jaxlm.scoring.engine._queries import Query


@runtime_checkable
class QueryEngine(Protocol):
    """What answers the queries of a measure that has an engine of its own (`Measure.own_engine`)."""

    @property
    def config(self) -> EngineSettings:
        """How many queries are asked together."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """What the answers depend on beyond the model and the measure's options, as JSON values."""
        ...

    @property
    def work(self) -> WorkCounts | None:
        """How much was computed so far; None: unknown."""
        ...

    def __call__(self, queries: Iterable[Query]) -> Iterator[Any]:
        """Yields the answer to each query, in order."""
        ...
