"""Long texts in windows: every token is predicted once, with at least a given number of tokens before it."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from jaxlm.errors import ScoreError

# What happens to texts that are longer than a window: they are split into windows, or are an error.
LongPolicy = Literal["window", "error"]


class Window(NamedTuple):
    """Tokens of a stream that are read at once, and those predicted there; token 0 is never predicted.

    Attributes:
      start, end: the window reads the tokens `start` to `end`, not including `end`.
      first: the window predicts the tokens `first` to `end`, including `end`.
      opened: whether the opening tokens are read in front of the window.
    """

    start: int
    end: int
    first: int
    opened: bool = False


def windows(num: int, length: int, context: int, *, given: int = 1, opened: bool = False) -> Iterator[Window]:
    """Yields the windows of a stream of `num` tokens, which predict every token behind the first `given`.

    The first window reads `length` tokens. Each later window predicts up to `length - context + 1` new tokens
    and reads as many tokens before them as fit, so that the last window is full, too.

    Args:
      num: tokens of the stream: those that open the text, if there are any, and the text's.
      length: W, the most tokens that a window reads.
      context: c, from 1: the fewest tokens that are read before the first prediction of a later window. 1:
        the windows are disjoint; `length`: each later window predicts one token.
      given: how many of the first tokens are not predicted.
      opened: whether later windows begin with the given tokens, too; they then count as context.

    Raises:
      ScoreError: if `context` or `given` is not in 1 .. `length`.

    Example:
      >>> from jaxlm.scoring import windows
      >>> stream = "B0123456789"
      >>> [(stream[w.start : w.end], stream[w.first : w.end + 1]) for w in windows(11, 4, 3)]
      [('B012', '0123'), ('1234', '45'), ('3456', '67'), ('5678', '89')]
    """
    if not 1 <= context <= length:
        raise ScoreError(f"a window of {length} tokens has a context of 1 to {length}: got {context}")
    if not 1 <= given <= length:
        raise ScoreError(f"a window of {length} tokens begins with 1 to {length} of them given: got {given}")
    last = num - 1
    if last < given:
        return
    done = min(length, last)
    yield Window(0, done, given)
    num_opening = given if opened else 0
    step = length - max(context, num_opening) + 1
    while done < last:
        end = min(done + step, last)
        yield Window(max(end - (length - num_opening), num_opening), end, done + 1, opened)
        done = end
