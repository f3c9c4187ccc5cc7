"""Texts that are read whole: in one window, or in several of which each token counts in one.

Letters: `n` tokens of a window, those around the text included.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.scoring.measures._measure import Context, ScoreError
from jaxlm.scoring.measures._openings import masked_frame

# What happens to a text that is longer than a window: all of it is read, or its beginning, or nothing.
LongTexts = Literal["window", "cut", "error"]


class TextPiece(NamedTuple):
    """A window of a text, with the tokens that open and close a text around it.

    Attributes:
      tokens: `Int32[n]` what the model reads.
      first_place: where the text's tokens begin in `tokens`.
      size: how many of the text's tokens are read.
      start: the number of the first of them in the text.
      counted_from: the number in the window, from 0, of the first of them that counts in this window; those
        before it count in the window before.
    """

    tokens: np.ndarray
    first_place: int
    size: int
    start: int
    counted_from: int = 0

    def own_places(self, *, with_ends: bool) -> np.ndarray:
        """Returns the places of the tokens that count in this window, in order.

        Args:
          with_ends: whether the tokens around the text count, too.
        """
        places = np.arange(len(self.tokens))
        of_text = (places >= self.first_place) & (places < self.first_place + self.size)
        later = places >= self.first_place + self.counted_from
        return places[(of_text & later) | (~of_text & with_ends)]


def window_of(context: Context, window: int | None) -> int:
    """Returns how many tokens are read at once, of which the text has at least one.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      window: what the user asks for; None: the most that can be read.

    Raises:
      ScoreError: if it is more than the model reads, or does not hold the tokens around a text.
    """
    window = context.longest if window is None else window
    if window > context.longest:
        raise ScoreError(f"window: this model in these rows reads up to {context.longest}: got {window}")
    ends = sum(map(len, masked_frame(context, None)))
    if ends >= window:
        raise ScoreError(f"window: {ends} tokens stand around a text: expected more, got {window}")
    return window


def text_pieces(
    context: Context, tokens: np.ndarray, *, window: int | None, long: LongTexts
) -> Sequence[TextPiece]:
    """Returns the windows of a text, in order; one of a text that fits, and one of an empty text.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      tokens: `Int[k]` the text's ids.
      window: the most tokens that are read at once; None: the most that the model reads.
      long: what happens to a text that does not fit.

    Raises:
      ScoreError: with "error", if the text does not fit.
    """
    opening, closing = masked_frame(context, None)
    room = (context.longest if window is None else window) - len(opening) - len(closing)
    if len(tokens) > room and long == "error":
        raise ScoreError(
            f"{len(tokens)} tokens, and the model reads at most {room} of a text: shorten it, or take "
            "long 'window'"
        )
    if long == "cut":
        tokens = tokens[:room]
    pieces = []
    for first in range(0, max(len(tokens), 1), room):
        # The last window begins earlier, so that it is full.
        start = max(min(first, len(tokens) - room), 0)
        read = tokens[start : start + room]
        whole = np.concatenate([opening, read, closing]).astype(np.int32)
        pieces.append(TextPiece(whole, len(opening), len(read), start, first - start))
    return pieces
