"""Rows packed by hand, so that one example can stand in many places."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest


class Rows(NamedTuple):
    """What a packed batch says of its positions."""

    tokens: np.ndarray
    segments: np.ndarray
    example_ids: np.ndarray
    offsets: np.ndarray
    epochs: np.ndarray


def pack_rows(
    examples: Mapping[int, np.ndarray], rows: Sequence[Iterable[int]], length: int, epoch: int = 0
) -> Rows:
    """Lays the examples of each row one after another; what is left of a row is padding (id 0)."""
    shape = (len(rows), length)
    packed = Rows(*(np.zeros(shape, np.int32) for _ in range(4)), np.full(len(rows), epoch, np.int32))
    for row, members in enumerate(rows):
        start = 0
        for segment, example in enumerate(members, start=1):
            stop = start + len(examples[example])
            packed.tokens[row, start:stop] = examples[example]
            packed.segments[row, start:stop] = segment
            packed.example_ids[row, start:stop] = example
            packed.offsets[row, start:stop] = np.arange(stop - start)
            start = stop
    return packed


@pytest.fixture(scope="session")
def pack() -> Any:
    return pack_rows


@pytest.fixture(scope="session")
def examples() -> dict[int, np.ndarray]:
    """Thirty-two examples of 1 to 40 tokens, ids 0 to 5 the specials, which occur inside as well."""
    generator = np.random.default_rng(0)
    lengths = [1, 2, 3, 40, *generator.integers(4, 40, 28).tolist()]
    return {
        id_: np.where(generator.random(n) < 0.1, generator.integers(1, 6, n), generator.integers(6, 50, n))
        for id_, n in enumerate(lengths, start=100)
    }
