"""Copies of a text in which spans of tokens are masked, each span once, whatever is asked of it.

Letters: `n` tokens of the text, `a` questions, `p` copies, `u` different questions.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine import LazyQueries, Query, QueryExtent, QueryScores, extent
from jaxlm.scoring.measures._masked_texts import MaskedText, window_start


class MaskedQuestions(NamedTuple):
    """What is asked: of each question the span that is masked, and the place in it that is predicted.

    Attributes:
      starts, stops: `Int[a]` places in the text, from the one up to the other, all of them masked.
      places: `Int[a]` which of them is asked for the token that stands there.
    """

    starts: np.ndarray
    stops: np.ndarray
    places: np.ndarray


class MaskedSpans(LazyQueries):
    """The copies that answer questions about a text: one piece a span, made when it is looked at.

    Questions about the same span share its copy: the last token of a word, alone or with all that follows it
    in the word, is the same copy, and asked once.

    Attributes:
      answers: `Int[a]` which score, of the scores of all pieces in a row, belongs to each question.
    """

    def __init__(
        self,
        text: MaskedText,
        spans: MaskedQuestions,
        *,
        mask_id: int,
        room: int,
        centres: np.ndarray | None = None,
    ):
        """Plans the copies.

        Args:
          text: what is masked.
          spans: what is asked.
          mask_id: of the token that masks.
          room: how many tokens a copy may have beside what opens and closes it.
          centres: `Float[n]` of a text that is longer, where the window around each place has its middle; it
            is the same throughout a span.
        """
        self._text, self._mask_id, self._room, self._centres = text, mask_id, room, centres
        width = int((spans.stops - spans.starts).max(initial=0)) + 1
        keys = (spans.starts * width + (spans.stops - spans.starts)) * width + (spans.places - spans.starts)
        _, first, self.answers = np.unique(keys, return_index=True, return_inverse=True)
        starts, stops, self._places = (one[first] for one in spans)
        begins = np.flatnonzero(
            np.concatenate([[True], (starts[1:] != starts[:-1]) | (stops[1:] != stops[:-1])])
        )
        self._starts, self._stops = starts[begins], stops[begins]
        self._bounds = np.append(begins, len(starts))

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Query:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, stop = self._starts[index], self._stops[index]
        first = 0
        if self._centres is not None:
            first = window_start(self._text.tokens.size, self._room, self._centres[start])
        tokens = self._text.tokens[first : first + self._room].copy()
        tokens[start - first : stop - first] = self._mask_id
        places = self._places[self._bounds[index] : self._bounds[index + 1]]
        scored = places - first + self._text.opening.size
        return Query(self._text.read(tokens), scored.astype(np.int32), self._text.tokens[places])

    def __iter__(self) -> Iterator[Query]:
        return (self[index] for index in range(len(self)))

    def extent(self) -> QueryExtent:
        """Returns how much the copies hold, none of which is made for that; see `extent` of pieces."""
        ends = self._text.opening.size + self._text.closing.size
        parts = (self._text.opening, self._text.tokens, self._text.closing)
        top = max(self._mask_id, *(int(ids.max(initial=0)) for ids in parts))
        return QueryExtent(ends + min(self._text.tokens.size, self._room), top)

    def read(self, scores: Sequence[QueryScores], field: str = "log_probs") -> np.ndarray:
        """Returns what answers each question, `[a]` or `[a k]`; log-probabilities as `Float64[a]`.

        Args:
          scores: of the pieces, in order.
          field: of `QueryScores`.
        """
        found = np.concatenate([getattr(one, field) for one in scores])
        return (found.astype(np.float64) if field == "log_probs" else found)[self.answers]


def mask_each_token(text: MaskedText, *, mask_id: int, room: int) -> MaskedSpans:
    """Returns a copy for each token of a text without specials, that one masked.

    Args:
      text: what is masked.
      mask_id: of the token that masks.
      room: how many tokens a copy may have; of a longer text each is in the middle of its own window.
    """
    places = np.arange(text.tokens.size)
    centres = None if text.tokens.size <= room else places + 0.5
    return MaskedSpans(
        text, MaskedQuestions(places, places + 1, places), mask_id=mask_id, room=room, centres=centres
    )


class JoinedQueries(LazyQueries):
    """Several sequences of pieces as one, none of them made before it is looked at.

    Example:
      >>> one, other = (Query(np.array([id]), np.array([0]), np.array([id])) for id in (3, 4))
      >>> joined = JoinedQueries([[one], [], [other, one]])
      >>> len(joined), joined[1].tokens, joined[-1].tokens
      (3, array([4]), array([3]))
    """

    def __init__(self, parts: Sequence[Sequence[Query]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, index: int) -> Query:
        index = index + len(self) if index < 0 else index
        for part in self._parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)

    def extent(self) -> QueryExtent:
        """Returns how much all of them hold; see `extent` of pieces."""
        return QueryExtent(*map(max, zip(QueryExtent(), *map(extent, self._parts), strict=True)))
