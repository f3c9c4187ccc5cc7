"""Long texts in half overlapping windows, for models that read in both directions."""

import itertools
from typing import NamedTuple


class MaskedWindow(NamedTuple):
    """Places `start` to `stop` of a text that are read together, and those of them that are scored there."""

    start: int
    stop: int
    first: int
    last: int


def masked_windows(length: int, room: int) -> list[MaskedWindow]:
    """Returns half overlapping windows of a text; every place is scored in exactly one, far from its ends.

    Args:
      length: of the text.
      room: the longest window, at least 2.

    Returns:
      The windows in order; one for a text that fits.

    Example:
      >>> masked_windows(3, 4)
      [MaskedWindow(start=0, stop=3, first=0, last=3)]
      >>> [(window.start, window.stop) for window in masked_windows(7, 4)]
      [(0, 4), (2, 6), (3, 7)]
    """
    if length <= room:
        return [MaskedWindow(0, length, 0, length)]
    step = max(room // 2, 1)
    starts = [*range(0, length - room, step), length - room]
    # Where two windows overlap, the middle of the overlap is equally far from the end of either.
    cuts = [(start + before + room + 1) // 2 for before, start in itertools.pairwise(starts)]
    bounds = [0, *cuts, length]
    return [MaskedWindow(start, start + room, bounds[n], bounds[n + 1]) for n, start in enumerate(starts)]
