"""Long texts in windows: every token is predicted once, with at least a given number of tokens before it."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from jaxlm.errors import ScoreError

# What happens to texts that are longer than a window: they are split into windows, or are an error.
LongPolicy = Literal["window", "error"]


class Window(NamedTuple):
    """The tokens of a stream that are read at once, and the tokens that are predicted from them.

    Offsets count the tokens of the whole stream from 0; token 0 is never predicted.

    Attributes:
      start, end: the window reads the tokens from `start` up to `end`, without token `end`.
      first: the window predicts the tokens from `first` to `end`, token `end` included.
      opened: whether the tokens that open the text are read once more, in front of this window.
    """

    start: int
    end: int
    first: int
    opened: bool = False


def windows(num: int, length: int, context: int, *, given: int = 1, opened: bool = False) -> Iterator[Window]:
    """Yields the windows of a stream of `num` tokens, which predict every token behind the first `given`.

    The first window reads `length` tokens. Each later window predicts up to `length - context + 1` new tokens
    and reads as many tokens before them as fit into `length`, so that the last window is full, too.

    Args:
      num: the number of tokens of the stream: the tokens that open the text, if there are any, and the text's
        own.
      length: W, the largest number of tokens that a window reads.
      context: c, from 1 to `length`: the smallest number of tokens that every window after the first reads
        before its first prediction. With 1, the windows are disjoint, except that the last one is filled up;
        with `length`, each window after the first predicts one token.
      given: how many of the first tokens are not predicted.
      opened: whether every window after the first begins with the first `given` tokens, too; these then count
        as context.

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
