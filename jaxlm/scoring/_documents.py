"""Documents by the block, and those that wait for the answers to their queries."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from jaxlm import data
from jaxlm.errors import JaxlmError
from jaxlm.scoring.engine import BlockAnswers, Forward
from jaxlm.scoring.measures import Measure, Round, ScoreRow

# Documents that are encoded together, and characters that end such a block early.
DOCUMENTS_AT_ONCE, BLOCK_CHARACTERS = 256, 1 << 20


class DocumentQueue:
    """The documents that are begun and have no row yet, in order.

    One thread appends documents before their queries are answered, another takes them with the answers.

    Args:
      measure: what is asked.
      forward: what the devices compute for it.
      advance: from a document's round and the answers to its queries to its row, or to another round.
    """

    def __init__(
        self,
        measure: Measure,
        forward: Forward,
        advance: Callable[[Round, Sequence[Any]], Round | ScoreRow],
    ) -> None:
        self._measure, self._forward, self._advance = measure, forward, advance
        self._waiting: deque[tuple[Round | ScoreRow, int]] = deque()
        # Answers to the first of the queries of a document whose queries are in several blocks.
        self._answers: list[Any] = []

    def append(self, now: Round | ScoreRow) -> None:
        """Appends a document: its round, or the row that says why there is none."""
        self._waiting.append((now, len(now.queries) if isinstance(now, Round) else 0))

    def extend(self, states: Sequence[Any], counts: Sequence[int]) -> None:
        """Appends documents of a block.

        Args:
          states: of the documents, as of their rounds.
          counts: how many queries each of them has.
        """
        self._waiting.extend((Round(state, ()), count) for state, count in zip(states, counts, strict=True))

    def rows(self, answers: Iterable[BlockAnswers]) -> Iterator[ScoreRow]:
        """Yields the rows of the documents, in order, as their answers come.

        Args:
          answers: to the blocks of queries, in order.
        """
        for block in answers:
            yield from self._rows_of_block(block)
        # Behind the last query there may be documents that ask nothing.
        while self._waiting:
            yield self._row(self._waiting.popleft()[0], [])

    def _rows_of_block(self, answers: BlockAnswers) -> Iterator[ScoreRow]:
        """The rows of the documents that have all their answers with this block."""
        index, num_queries = 0, answers.block.num_queries
        while index < num_queries:
            now, count = self._waiting[0]
            if self._answers or count > num_queries - index:
                end = min(index + count - len(self._answers), num_queries)
                self._answers += map(answers.of_query, range(index, end))
                index = end
                if len(self._answers) == count:
                    self._waiting.popleft()
                    yield self._row(now, self._answers)
                    self._answers = []
            else:
                documents = self._take(num_queries - index)
                yield from self._rows(documents, answers, index)
                index += sum(count for _, count in documents)

    def _take(self, num_queries: int) -> list[tuple[Round | ScoreRow, int]]:
        """The next documents, as many as have at most `num_queries` queries together."""
        documents = []
        while self._waiting and self._waiting[0][1] <= num_queries:
            documents.append(self._waiting.popleft())
            num_queries -= documents[-1][1]
        return documents

    def _rows(
        self, documents: list[tuple[Round | ScoreRow, int]], answers: BlockAnswers, index: int
    ) -> Iterator[ScoreRow]:
        """The rows of documents whose queries are those of the block from `index` on."""
        together = iter(self._rows_together(documents, answers, index))
        for now, count in documents:
            if not count:
                yield self._row(now, [])
            elif self._measure.reads_blocks and (row := next(together, None)) is not None:
                yield row
            else:
                yield self._row(now, [answers.of_query(n) for n in range(index, index + count)])
            index += count

    def _rows_together(
        self, documents: list[tuple[Round | ScoreRow, int]], answers: BlockAnswers, index: int
    ) -> Sequence[ScoreRow]:
        """The rows of the documents that have queries, if the measure makes them together; else none."""
        if not self._measure.reads_blocks:
            return []
        states, starts = [], [index]
        for now, count in documents:
            if isinstance(now, Round) and count:
                states.append(now.state)
                starts.append(starts[-1] + count)
        joined = answers.of_queries(index, starts[-1])
        if not states or self._forward.fault(joined):
            return []
        first = int(answers.starts[index])
        try:
            return self._measure.advance_block(
                states, joined, [int(answers.starts[start]) - first for start in starts]
            )
        # One of the documents has no row: each is advanced by itself, which tells which one.
        except JaxlmError:
            return []

    def _row(self, now: Round | ScoreRow, answers: list[Any]) -> ScoreRow:
        if not isinstance(now, Round):
            return now
        row = self._advance(now, answers)
        if isinstance(row, Round):
            raise TypeError(f"{self._measure.name} asks again: its class has to say asks_again = True")
        return row


def text_blocks(records: Iterable[data.Record]) -> Iterator[list[data.Record]]:
    """Yields records by the block: as many as are encoded together.

    Args:
      records: documents.
    """
    records = iter(records)
    while block := list(islice(records, 1)):
        size = len(block[0].text)
        for record in islice(records, DOCUMENTS_AT_ONCE - 1):
            block.append(record)
            size += len(record.text)
            if size >= BLOCK_CHARACTERS:
                break
        yield block


def error_row(error: JaxlmError) -> ScoreRow:
    """Returns the row of a document that has no score: the reason in one line.

    Args:
      error: why there is none.
    """
    return {"error": " ".join(str(error).split())}
