"""Copies of a text in which spans of tokens are masked; questions about the same span share a copy.

Letters: `n` tokens of the text, `a` questions, `p` copies, `u` different questions.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine import LazyQueries, Query, QueryExtent, QueryScores, extent
from jaxlm.scoring.measures._masked_texts import MaskedText, window_start


class MaskedQuestions(NamedTuple):
    """Questions about a masked text: the span that is masked, and the token in it that is predicted.

    Attributes:
      starts, stops: `Int[a]` the tokens from `starts` up to `stops`, not including it, are masked.
      places: `Int[a]` the token of the span that is predicted.
    """

    starts: np.ndarray
    stops: np.ndarray
    places: np.ndarray


class MaskedSpans(LazyQueries):
    """The masked copies that answer questions about a text: one query a span, made when it is looked at.

    Questions about the same span share a copy: the last token of a word, masked alone or with the tokens that
    follow it in the word, is the same question and asked once.

    Attributes:
      answers: `Int[a]` the index of each question's score among the scores of all queries, one behind the
        other.
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
          text: the text that is masked.
          spans: the questions.
          mask_id: id of the mask token.
          room: the most tokens of a copy, not counting those that open and close it.
          centres: `Float[n]` for a longer text, the middle of the window around each token; it is the same
            for all tokens of a span. None: the text fits.
        """
        self._text, self._mask_id, self._room, self._centres = text, mask_id, room, centres
        width = int((spans.stops - spans.starts).max(initial=0)) + 1
        keys = (spans.starts * width + (spans.stops - spans.starts)) * width + (spans.places - spans.starts)
        _, first, self.answers = np.unique(keys, return_index=True, return_inverse=True)
        starts, stops, self._places = (column[first] for column in spans)
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
            first = window_start(self._text.tokens.size, self._room, float(self._centres[start]))
        tokens = self._text.tokens[first : first + self._room].copy()
        tokens[start - first : stop - first] = self._mask_id
        places = self._places[self._bounds[index] : self._bounds[index + 1]]
        scored = places - first + self._text.opening.size
        return Query(self._text.read(tokens), scored.astype(np.int32), self._text.tokens[places])

    def __iter__(self) -> Iterator[Query]:
        return (self[index] for index in range(len(self)))

    def extent(self) -> QueryExtent:
        """Returns the length and the largest id of the copies without making them; see `extent`."""
        ends = self._text.opening.size + self._text.closing.size
        parts = (self._text.opening, self._text.tokens, self._text.closing)
        top = max(self._mask_id, *(int(ids.max(initial=0)) for ids in parts))
        return QueryExtent(ends + min(self._text.tokens.size, self._room), top)

    def read(self, scores: Sequence[QueryScores], field: str = "log_probs") -> np.ndarray:
        """Returns the answer to each question, `[a]` or `[a k]`; log-probabilities as `Float64[a]`.

        Args:
          scores: of the queries, in order.
          field: of `QueryScores`.
        """
        values = np.concatenate([getattr(own, field) for own in scores])
        return (values.astype(np.float64) if field == "log_probs" else values)[self.answers]


def mask_each_token(text: MaskedText, *, mask_id: int, room: int) -> MaskedSpans:
    """Returns, for a text without special tokens, one copy for each token with that token masked.

    Args:
      text: the text that is masked.
      mask_id: id of the mask token.
      room: the most tokens of a copy; in a longer text each token is in the middle of its own window.
    """
    places = np.arange(text.tokens.size)
    centres = None if text.tokens.size <= room else places + 0.5
    return MaskedSpans(
        text, MaskedQuestions(places, places + 1, places), mask_id=mask_id, room=room, centres=centres
    )


class JoinedQueries(LazyQueries):
    """Several sequences of queries as one; a query is made when it is looked at.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import Query
      >>> from jaxlm.scoring.measures import JoinedQueries
      >>> first, second = (Query(np.array([id]), np.array([0]), np.array([id])) for id in (3, 4))
      >>> joined = JoinedQueries([[first], [], [second, first]])
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
        """Returns the longest length and the largest id of all of them; see `extent`."""
        return QueryExtent(*map(max, zip(QueryExtent(), *map(extent, self._parts), strict=True)))
