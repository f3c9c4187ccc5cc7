"""Long texts in windows: every token predicted exactly once, each with as much before it as was asked for."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from jaxlm.errors import ScoreError

# What becomes of texts that are longer than a window.
Long = Literal["window", "error"]


class Window(NamedTuple):
    """What is read at once and what of it is new; places count the stream, of which 0 is never predicted.

    Attributes:
      start, end: the stream's tokens that are read are `start` to `end`, not including `end`.
      first: the first token that this window predicts; it predicts `first` to `end`, including `end`.
      opened: whether the opening token is read before them.
    """

    start: int
    end: int
    first: int
    opened: bool = False


def windows(num: int, length: int, context: int, *, given: int = 1, opened: bool = False) -> Iterator[Window]:
    """Yields the windows of a stream of `num` tokens, of which all but the first are predicted.

    The first window reads `length` tokens. Each later one predicts up to `length - context + 1` new tokens
    and is aligned to the right: it reads as far back as it can, so that the last one has a full window too.

    Args:
      num: tokens of the stream: those that open the text, if there are any, and the text's.
      length: W, the most tokens that a window reads.
      context: c, from 1: the least that is read before a later window's first prediction. 1: windows are
        disjoint; `length`: each predicts one token with all that fits before it.
      given: how many of the first are not predicted.
      opened: whether later windows, too, begin with these, which count as context.

    Raises:
      ScoreError: if `context` or `given` is not in 1 .. `length`.

    Example:
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
    kept = given if opened else 0
    step = length - max(context, kept) + 1
    while done < last:
        end = min(done + step, last)
        yield Window(max(end - (length - kept), kept), end, done + 1, opened)
        done = end
