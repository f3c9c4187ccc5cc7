"""The shape both sides of `generation.py` decode: GPT-2 of 124M parameters, and what a token reads of it."""

from typing import NamedTuple


class Shape(NamedTuple):
    """A GPT-2, its output tied to its token embedding."""

    vocab_size: int = 50_257
    width: int = 768
    depth: int = 12
    heads: int = 12
    context: int = 1024


SMALL = Shape(vocab_size=263, width=32, depth=2, heads=2, context=256)
PROMPT_SEED = 7


def step_bytes(shape: Shape, batch: int, length: float, bytes_each: int) -> float:
    """Returns the bytes that one step has to read: every kernel once, and each row's keys and values.

    A step of one token reads 4 D^2 of attention, 8 D^2 of feed-forward a layer, V D of output, biases and
    norms left out, and of every row 2 D keys and values a layer for each token before it.

    >>> round(step_bytes(Shape(), 1, 0, 4) / 1e6)
    494
    """
    weights = shape.depth * 12 * shape.width**2 + shape.vocab_size * shape.width
    kept = batch * shape.depth * 2 * shape.width * length
    return (weights + kept) * bytes_each
