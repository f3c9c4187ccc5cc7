"""The word's range: mask first, random next, kept last, to the very last word."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.corruption import MaskingConfig
from jaxlm.corruption._replacement import replaced
from jaxlm.corruption._shares import is_below, share_bound


@pytest.mark.parametrize("xp", [np, jnp])
def test_bounds_of_the_parts(xp):
    start, stop = 2**32 - 2 * share_bound(0.1), 2**32 - share_bound(0.1)
    words = xp.asarray(np.array([[0, start - 1, start, stop - 1, stop, 2**32 - 1]], np.uint32))
    tokens = xp.full((1, 6), 9, dtype=xp.int32)
    seen = replaced(
        words,
        tokens,
        xp.ones((1, 6), dtype=bool),
        config=MaskingConfig(),
        mask_id=4,
        random_ids=xp.arange(100, 200),
        xp=xp,
    )
    assert seen.tolist() == [[4, 4, 100, 199, 9, 9]]
    assert seen.dtype == tokens.dtype


def test_even_bounds_include_the_last_word():
    words = np.array([0, 1, 2**32 - 1], np.uint32)
    assert is_below(words, 0).tolist() == [False, False, False]
    assert is_below(words, 1).tolist() == [True, False, False]
    assert is_below(words, 2**32).tolist() == [True, True, True]


def test_every_random_id_takes_as_many_words():
    config = MaskingConfig(mask_share=0.0, random_share=1.0, keep_share=0.0)
    words = np.arange(0, 2**32, 2**32 // 70_000, dtype=np.uint64).astype(np.uint32)[None]
    seen = replaced(
        words,
        np.zeros(words.shape, np.int32),
        np.ones(words.shape, bool),
        config=config,
        mask_id=4,
        random_ids=np.arange(7),
        xp=np,
    )
    numbers = np.bincount(seen[0])
    assert numbers.size == 7
    assert numbers.max() - numbers.min() <= 1
