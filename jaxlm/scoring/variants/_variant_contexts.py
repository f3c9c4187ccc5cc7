"""What a masked LM reads to compare a mutant with its wild type, by the name of the convention.

Letters: `n` symbols of a sequence.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.scoring.engine import Query, QueryScores
from jaxlm.scoring.measures import MaskedText, ScoreError, window_start

ContextFill = Literal["wt-marginals", "mutant-marginals", "wt-fill", "mask-fill", "mut-fill", "match-fill"]
FILLS: tuple[ContextFill, ...] = (
    "wt-marginals",
    "mutant-marginals",
    "wt-fill",
    "mask-fill",
    "mut-fill",
    "match-fill",
)


class AnswerIndex(NamedTuple):
    """Which log-probability answers a question: that of a query's slot."""

    query: int
    slot: int


class VariantQueries:
    """The queries of one variant: a context is read once, however many symbols are asked for in it.

    Args:
      text: the wild type.
      start: position at which the window that is read begins.
      room: how many symbols the window has.
    """

    def __init__(self, text: MaskedText, start: int, room: int) -> None:
        self._text, self._start, self._room = text, start, room
        self._answers: dict[tuple[bytes, int, int], AnswerIndex] = {}
        self._queries: dict[bytes, int] = {}
        self._tokens: list[np.ndarray] = []
        self._asked: list[list[tuple[int, int]]] = []

    def ask(self, tokens: np.ndarray, place: int, target: int) -> AnswerIndex:
        """Asks for log p(target) at a position of a sequence.

        Args:
          tokens: `Int[n]`, the whole sequence that is read.
          place: the position.
          target: id of the symbol.

        Returns:
          The index of the answer.
        """
        window = tokens[self._start : self._start + self._room]
        key = window.tobytes()
        if (key, place, target) not in self._answers:
            query = self._queries.get(key)
            # A query has at most as many slots as a row has positions; after that the context is read again.
            if query is None or len(self._asked[query]) == self._room:
                query = self._queries[key] = len(self._tokens)
                self._tokens.append(window)
                self._asked.append([])
            self._answers[key, place, target] = AnswerIndex(query, len(self._asked[query]))
            self._asked[query].append((place, target))
        return self._answers[key, place, target]

    def queries(self) -> list[Query]:
        """Returns the queries, one for each context."""
        shift = self._text.opening.size - self._start
        queries = []
        for tokens, asked in zip(self._tokens, self._asked, strict=True):
            pairs = np.array(asked, np.int32)
            queries.append(Query(self._text.read(tokens), pairs[:, 0] + np.int32(shift), pairs[:, 1]))
        return queries


def fill_contexts(
    fill: ContextFill, wild: np.ndarray, mutant: np.ndarray, places: np.ndarray, place: int, mask_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sequences that are read to predict the mutant's and the wild type's symbol at a position.

    | fill | the position in question | the other mutated positions |
    |---|---|---|
    | wt-marginals | the wild type's symbol | the wild type's symbols |
    | mutant-marginals | the mutant's symbol | the mutant's symbols |
    | wt-fill | masked | the wild type's symbols |
    | mask-fill | masked | masked |
    | mut-fill | masked | the mutant's symbols |
    | match-fill | masked | of the sequence whose symbol is predicted: the mutant's, or the wild type's |

    Args:
      fill: the convention.
      wild: `Int[n]`, the wild type's ids.
      mutant: `Int[n]`, the mutant's ids.
      places: the positions where they differ.
      place: the position in question, one of these.
      mask_id: id of the mask token.

    Returns:
      Two arrays `Int[n]`.

    Raises:
      ScoreError: if there is no such fill.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.variants._variant_contexts import fill_contexts
      >>> wild, mutant = np.array([1, 2, 3]), np.array([4, 2, 5])
      >>> [tokens.tolist() for tokens in fill_contexts("match-fill", wild, mutant, np.array([0, 2]), 0, 9)]
      [[9, 2, 5], [9, 2, 3]]
    """
    match fill:
        case "wt-marginals":
            return wild, wild
        case "mutant-marginals":
            return mutant, mutant
        case "wt-fill":
            hidden = _hide(wild, place, mask_id)
            return hidden, hidden
        case "mask-fill":
            hidden = _hide(wild, places, mask_id)
            return hidden, hidden
        case "mut-fill":
            hidden = _hide(mutant, place, mask_id)
            return hidden, hidden
        case "match-fill":
            return _hide(mutant, place, mask_id), _hide(wild, place, mask_id)
        case _:
            raise ScoreError(f"a fill is one of {', '.join(FILLS)}: got {fill!r}")


def ask_fill(
    asked: VariantQueries, fill: ContextFill, wild: np.ndarray, mutant: np.ndarray, mask_id: int
) -> list[tuple[AnswerIndex, AnswerIndex]]:
    """Asks, at each mutated position, for log p of the mutant's symbol and of the wild type's.

    Args:
      asked: takes the queries.
      fill: the convention.
      wild: `Int[n]`, the wild type's ids.
      mutant: `Int[n]`, the mutant's ids.
      mask_id: id of the mask token.

    Returns:
      For each mutated position the index of both answers.
    """
    places = np.flatnonzero(wild != mutant)
    terms = []
    for place in places.tolist():
        new, old = fill_contexts(fill, wild, mutant, places, place, mask_id)
        mutants = asked.ask(new, place, int(mutant[place]))
        terms.append((mutants, asked.ask(old, place, int(wild[place]))))
    return terms


def mutation_window(length: int, places: np.ndarray, room: int) -> int:
    """Returns the position at which a window begins that has the mutated positions in its middle.

    Args:
      length: of the sequence.
      places: the mutated positions, ascending.
      room: how many symbols the window has.

    Raises:
      ScoreError: if the positions are too far apart for one window.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.variants._variant_contexts import mutation_window
      >>> mutation_window(100, np.array([50, 52]), 10)
      46
    """
    start = window_start(length, room, (int(places[0]) + int(places[-1]) + 1) / 2)
    if places[-1] - places[0] >= room:
        raise ScoreError(f"mutations {places[-1] - places[0]} symbols apart do not fit one window of {room}")
    return start


def score_difference(
    terms: Sequence[tuple[AnswerIndex, AnswerIndex]], scores: Sequence[QueryScores]
) -> float:
    """Returns the sum over positions of log p(mutant's symbol) - log p(wild type's symbol), in nats."""

    def nats(answer: AnswerIndex) -> float:
        return float(scores[answer.query].log_probs[answer.slot])

    return math.fsum(nats(new) - nats(old) for new, old in terms)


def _hide(tokens: np.ndarray, places: np.ndarray | int, mask_id: int) -> np.ndarray:
    hidden = tokens.copy()
    hidden[places] = mask_id
    return hidden
