"""Long texts in windows that overlap by half, for models that read in both directions."""

import itertools
from typing import NamedTuple


class MaskedWindow(NamedTuple):
    """A part of a text that is read at once, and the tokens that are scored there.

    Attributes:
      start, stop: the window reads the tokens `start` to `stop`, not including `stop`.
      first, last: it scores the tokens `first` to `last`, not including `last`.
    """

    start: int
    stop: int
    first: int
    last: int


def masked_windows(length: int, room: int) -> list[MaskedWindow]:
    """Returns windows of a text that overlap by half; each token is scored where it is farthest from a cut.

    Args:
      length: tokens of the text.
      room: tokens of the longest window, at least 2.

    Returns:
      The windows in order; a single one for a text that fits.

    Example:
      >>> from jaxlm.scoring.measures._masked_windows import masked_windows
      >>> masked_windows(3, 4)
      [MaskedWindow(start=0, stop=3, first=0, last=3)]
      >>> [(window.start, window.stop) for window in masked_windows(7, 4)]
      [(0, 4), (2, 6), (3, 7)]
    """
    if length <= room:
        return [MaskedWindow(0, length, 0, length)]
    step = max(room // 2, 1)
    starts = [*range(0, length - room, step), length - room]
    # The middle of the overlap of two windows is equally far from the ends of both.
    cuts = [(start + before + room + 1) // 2 for before, start in itertools.pairwise(starts)]
    bounds = [0, *cuts, length]
    return [MaskedWindow(start, start + room, bounds[n], bounds[n + 1]) for n, start in enumerate(starts)]
