"""Measures that ask again: the rounds of many documents go through the engine together, and rows keep order.

Documents are processed in generations, two at a time: one is on the devices while the answers of the other
are read. Documents that ask again, and new documents, then form the next generation. Which documents a
generation holds depends on the documents and the answers alone, and never on timing, so that a corpus always
gives the same bytes.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxlm import data
from jaxlm.scoring.engine import EngineSettings, Query, extent
from jaxlm.scoring.measures._measure import Round, ScoreRow

GENERATIONS = 2
# A generation has at least this many batches, if there are enough documents, because its last batch is seldom
# full.
BATCHES_OF_GENERATION = 8
# The most documents that are begun and not yielded, as a multiple of the engine's buffer.
OPEN_BUFFERS = 16

AnswerQueries = Callable[[Iterable[Query]], Iterator[Any]]
Advance = Callable[[Round, Sequence[Any]], Round | ScoreRow]


class GenerationSize(NamedTuple):
    """When a generation is full, and how many documents may be begun.

    Attributes:
      queries: the fewest queries of a generation.
      tokens: the fewest tokens of these queries.
      documents: the most documents that are begun and not yielded.
    """

    queries: int
    tokens: int
    documents: int


def generation_size(settings: EngineSettings) -> GenerationSize:
    """Returns the size of a generation that keeps an engine busy.

    Args:
      settings: of the engine.
    """
    tokens = BATCHES_OF_GENERATION * settings.rows * settings.row_length
    return GenerationSize(settings.buffer, tokens, OPEN_BUFFERS * settings.buffer)


class _Document:
    """A document between its first round and its row, which `now` is in the end."""

    def __init__(self, now: Round | ScoreRow) -> None:
        self.now = now

    @property
    def queries(self) -> Sequence[Query]:
        return self.now.queries if isinstance(self.now, Round) else ()

    @property
    def num_tokens(self) -> int:
        """An upper bound of the tokens of its queries."""
        return len(self.queries) * extent(self.queries).longest


class _Generation:
    """Documents whose queries are on the devices."""

    def __init__(self, documents: list[_Document], answer: AnswerQueries) -> None:
        self.documents = documents
        self._answers = answer(query for document in documents for query in document.queries)
        # The engine begins when the first answer is asked for.
        self._first = [next(self._answers)]

    def __iter__(self) -> Iterator[Any]:
        yield from self._first
        yield from self._answers

    def close(self) -> None:
        """Stops answering its queries."""
        if isinstance(self._answers, Generator):
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
      start: returns the first round of a document, or the row of one that cannot be asked.
      advance: from a round and its answers to the next round, or to the row.
      answer: yields the answers to queries, in order; it may be called while an earlier call is not finished.
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
        for generation in flying:
            generation.close()


class _Documents:
    """The documents that are begun and not yielded, in order, and the source of further ones."""

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
        """Returns the documents that ask again, and as many new ones as fill the generation."""
        asking = list(again)
        num = sum(len(document.queries) for document in again)
        tokens = sum(document.num_tokens for document in again)
        while (num < self._size.queries or tokens < self._size.tokens) and (begun := self._begun()):
            if begun.queries:
                asking.append(begun)
                num, tokens = num + len(begun.queries), tokens + begun.num_tokens
        return asking

    def advanced(self, generation: _Generation) -> list[_Document]:
        """Takes the answers to a generation and returns the documents that ask again."""
        answers = iter(generation)
        for document in generation.documents:
            if isinstance(document.now, Round):
                own = [next(answers) for _ in range(len(document.queries))]
                document.now = self._asking(self._advance(document.now, own))
        # Exhausted, so that the threads behind the answers stop.
        next(answers, None)
        return [document for document in generation.documents if document.queries]

    def done(self) -> Iterator[ScoreRow]:
        """Yields the rows of the first documents, up to the first one that waits for answers."""
        while self._open and not isinstance(row := self._open[0].now, Round):
            self._open.popleft()
            yield row

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
        """The next round that has queries, or the row."""
        while isinstance(now, Round) and not len(now.queries):
            now = self._advance(now, [])
        return now
