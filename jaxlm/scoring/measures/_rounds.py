"""Measures that ask again: the rounds of many documents go through the engine together, and rows keep order.

Documents are taken by the generation. Of two generations one is on the devices while the answers of the other
are read: what is asked again, and documents that are new, make its successor. What a generation holds follows
from documents and answers alone, never from which came first, so that the same corpus gives the same bytes.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxlm import data
from jaxlm.scoring.engine import Query, extent
from jaxlm.scoring.measures._measure import Round, ScoreRow

GENERATIONS = 2
# Batches that a generation has at least, where documents are enough: its last one is seldom full.
BATCHES_OF_GENERATION = 8
# Documents that are begun and not yielded, in buffers.
OPEN_BUFFERS = 16

AnswerQueries = Callable[[Iterable[Query]], Generator[Any, None, None]]
Advance = Callable[[Round, Sequence[Any]], Round | ScoreRow]


class GenerationSize(NamedTuple):
    """When a generation is full, and how many documents are kept.

    Attributes:
      pieces: that it has at least.
      tokens: that these have at least.
      documents: that are begun and not yielded, at most.
    """

    pieces: int
    tokens: int
    documents: int


class _Document:
    """A document on its way, until it is a row."""

    def __init__(self, now: Round | ScoreRow) -> None:
        self.now = now

    @property
    def queries(self) -> Sequence[Query]:
        return self.now.queries if isinstance(self.now, Round) else ()

    @property
    def num_tokens(self) -> int:
        """About how many its queries have; no fewer."""
        return len(self.queries) * extent(self.queries).longest


class _Generation:
    """Documents whose queries are on the devices."""

    def __init__(self, documents: list[_Document], answer: AnswerQueries) -> None:
        self.documents = documents
        self._answers = answer(piece for document in documents for piece in document.queries)
        # The engine begins when the first answer is asked for.
        self._first = [next(self._answers)]

    def __iter__(self) -> Iterator[Any]:
        yield from self._first
        yield from self._answers

    def close(self) -> None:
        """Leaves the rest of it."""
        self._answers.close()


def rows_in_rounds(
    records: Iterable[data.Record],
    start: Callable[[data.Record], Round | ScoreRow],
    advance: Advance,
    answer: AnswerQueries,
    size: GenerationSize,
) -> Iterator[ScoreRow]:
    """Yields one row a record, in order.

    Args:
      records: documents.
      start: their first rounds, or the rows of those that cannot be asked.
      advance: from a round and the answers to it to the next one, or to the row.
      answer: yields the answers to pieces, in order; it may be called while an earlier call is at work.
      size: of a generation.
    """
    documents = _Documents(records, start, advance, size)
    again: list[_Document] = []
    flying: deque[_Generation] = deque()
    try:
        while not documents.is_over:
            while len(flying) < GENERATIONS and (asking := documents.generation(again)):
                flying.append(_Generation(asking, answer))
                again = []
            yield from documents.done()
            if flying:
                again = documents.advanced(flying.popleft())
    finally:
        for one in flying:
            one.close()


class _Documents:
    """The documents that are begun and not yielded, in order, and where further ones come from."""

    def __init__(
        self,
        records: Iterable[data.Record],
        start: Callable[[data.Record], Round | ScoreRow],
        advance: Advance,
        size: GenerationSize,
    ) -> None:
        self._coming, self._has_more = iter(records), True
        self._start, self._advance, self._size = start, advance, size
        self._open: deque[_Document] = deque()

    @property
    def is_over(self) -> bool:
        """Whether every document has been yielded."""
        return not self._has_more and not self._open

    def generation(self, again: list[_Document]) -> list[_Document]:
        """Returns those that ask again, and new ones that ask, until these are enough."""
        asking = list(again)
        num, tokens = sum(len(one.queries) for one in again), sum(one.num_tokens for one in again)
        while (num < self._size.pieces or tokens < self._size.tokens) and (begun := self._begun()):
            if begun.queries:
                asking.append(begun)
                num, tokens = num + len(begun.queries), tokens + begun.num_tokens
        return asking

    def advanced(self, generation: _Generation) -> list[_Document]:
        """Takes the answers to a generation and returns the documents that ask again."""
        answers = iter(generation)
        for document in generation.documents:
            own = [next(answers) for _ in range(len(document.queries))]
            document.now = self._asking(self._advance(document.now, own))
        # To its end, where whatever works for it in the background stops.
        next(answers, None)
        return [document for document in generation.documents if document.queries]

    def done(self) -> Iterator[ScoreRow]:
        """Yields the rows of the first documents, up to one that is still asking."""
        while self._open and not self._open[0].queries:
            yield self._open.popleft().now

    def _begun(self) -> _Document | None:
        if len(self._open) >= self._size.documents:
            return None
        record = next(self._coming, None)
        self._has_more = record is not None
        if record is None:
            return None
        self._open.append(_Document(self._asking(self._start(record))))
        return self._open[-1]

    def _asking(self, now: Round | ScoreRow) -> Round | ScoreRow:
        """The first round that asks something, or the row."""
        while isinstance(now, Round) and not len(now.queries):
            now = self._advance(now, [])
        return now
