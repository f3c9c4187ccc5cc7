"""What a model reads to compare a mutant with its wild type, by the convention's name.

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
    """Where an answer stands: among the scores of which piece, and at which place there."""

    piece: int
    place: int


class VariantQueries:
    """The questions of one variant, each context once, whatever is asked of it.

    Args:
      text: the wild type.
      start: of the window that is read.
      room: how long the window is.
    """

    def __init__(self, text: MaskedText, start: int, room: int) -> None:
        self._text, self._start, self._room = text, start, room
        self._known: dict[tuple[bytes, int, int], AnswerIndex] = {}
        self._open: dict[bytes, int] = {}
        self._tokens: list[np.ndarray] = []
        self._asked: list[list[tuple[int, int]]] = []

    def ask(self, tokens: np.ndarray, place: int, target: int) -> AnswerIndex:
        """Asks for log p(target) at a place of a whole sequence; returns where the answer will stand."""
        window = tokens[self._start : self._start + self._room]
        key = window.tobytes()
        if (key, place, target) not in self._known:
            piece = self._open.get(key)
            # A piece has no more questions than a row has places, so a new one goes on.
            if piece is None or len(self._asked[piece]) == self._room:
                piece = self._open[key] = len(self._tokens)
                self._tokens.append(window)
                self._asked.append([])
            self._known[key, place, target] = AnswerIndex(piece, len(self._asked[piece]))
            self._asked[piece].append((place, target))
        return self._known[key, place, target]

    def pieces(self) -> list[Query]:
        """Returns what the model is asked."""
        shift = self._text.opening.size - self._start
        made = []
        for tokens, asked in zip(self._tokens, self._asked, strict=True):
            pairs = np.array(asked, np.int32)
            made.append(Query(self._text.read(tokens), pairs[:, 0] + np.int32(shift), pairs[:, 1]))
        return made


def contexts(
    fill: ContextFill, wild: np.ndarray, mutant: np.ndarray, places: np.ndarray, place: int, mask_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what is read to predict the mutant's symbol at a place, and to predict the wild type's.

    | | all of the mutated places | the other mutated places |
    |---|---|---|
    | wt-marginals | the wild type, nothing masked | |
    | mutant-marginals | the mutant, nothing masked | |
    | wt-fill | | this place masked, the others as in the wild type |
    | mask-fill | masked | |
    | mut-fill | | this place masked, the others as in the mutant |
    | match-fill | | masked; for the mutant's symbol as mut-fill, for the wild type's as wt-fill |

    Args:
      fill: the convention.
      wild, mutant: `Int[n]` ids.
      places: `Int[k]` where they differ.
      place: one of them.
      mask_id: of the token that masks.

    Returns:
      Two arrays `Int[n]`.

    Example:
      >>> wild, mutant = np.array([1, 2, 3]), np.array([4, 2, 5])
      >>> [one.tolist() for one in contexts("match-fill", wild, mutant, np.array([0, 2]), 0, 9)]
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
    questions: VariantQueries, fill: ContextFill, wild: np.ndarray, mutant: np.ndarray, mask_id: int
) -> list[tuple[AnswerIndex, AnswerIndex]]:
    """Asks for the halves of a fill's terms: of each place log p(mutant's symbol), and of the wild type's."""
    places = np.flatnonzero(wild != mutant)
    terms = []
    for place in places.tolist():
        new, old = contexts(fill, wild, mutant, places, place, mask_id)
        halves = (new, int(mutant[place])), (old, int(wild[place]))
        terms.append(tuple(questions.ask(tokens, place, target) for tokens, target in halves))
    return terms


def mutation_window(length: int, places: np.ndarray, room: int) -> int:
    """Returns where the window of `room` symbols begins whose middle is that of the mutated places.

    Raises:
      ScoreError: if the places are too far apart for one window.

    Example:
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
    """Returns the sum over places of log p(mutant's symbol) - log p(wild type's), in nats."""

    def nats(answer: AnswerIndex) -> float:
        return float(scores[answer.piece].log_probs[answer.place])

    return math.fsum(nats(new) - nats(old) for new, old in terms)


def _hide(tokens: np.ndarray, places: np.ndarray | int, mask_id: int) -> np.ndarray:
    hidden = tokens.copy()
    hidden[places] = mask_id
    return hidden
