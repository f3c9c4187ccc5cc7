"""Replacements to the very last word: parts of a mixture, random and other ids."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.corruption import by_matrix, keep, mixture, to_mask, to_other, to_random
from jaxlm.corruption._shares import as_fractions, as_shares, is_below, share_bound

EVEN = np.arange(0, 2**32, 2**32 // 70_000, dtype=np.uint64).astype(np.uint32)
BERT = mixture([(0.8, to_mask(4)), (0.1, to_random(range(100, 200))), (0.1, keep())])


@pytest.mark.parametrize("xp", [np, jnp])
def test_bounds_of_the_parts_of_a_mixture(xp):
    start, stop = share_bound(0.8), share_bound(0.9)
    words = xp.asarray(np.array([[0, start - 1, start, stop - 1, stop, 2**32 - 1]], np.uint32))
    seen = BERT(words, xp.full((1, 6), 9, dtype=xp.int32))
    assert seen.tolist() == [[4, 4, 100, 199, 9, 9]]
    assert seen.dtype == xp.int32


@pytest.mark.parametrize(
    "replacement",
    [
        BERT,
        mixture(
            [(1 / 3, to_other(range(7, 12))), (2 / 3, mixture([(0.5, keep()), (0.5, to_random([7, 8]))]))]
        ),
        by_matrix(np.full((3, 3), 1 / 3), ids=[7, 9, 11]),
    ],
)
def test_host_device_and_a_copy_from_a_pickle_agree(replacement):
    tokens = (np.arange(EVEN.size) % 12).astype(np.int32)
    seen = replacement(EVEN, tokens)
    assert isinstance(seen, np.ndarray)
    np.testing.assert_array_equal(replacement(jnp.asarray(EVEN), jnp.asarray(tokens)), seen)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(replacement))(EVEN, tokens), seen)


def test_every_random_id_takes_as_many_words():
    numbers = np.bincount(to_random(np.arange(7))(EVEN, np.zeros(EVEN.shape, np.int32)))
    assert numbers.size == 7
    assert numbers.max() - numbers.min() <= 1


def test_a_part_of_a_mixture_draws_as_evenly_as_alone():
    part = mixture([(0.3, to_mask(90)), (0.1, to_random(np.arange(7))), (0.6, to_mask(90))])
    numbers = np.bincount(part(EVEN, np.zeros(EVEN.shape, np.int32)))
    assert numbers[:7].sum() == pytest.approx(0.1 * EVEN.size, abs=1)
    assert numbers[:7].max() - numbers[:7].min() <= 1


def test_a_stranger_may_become_any_of_the_ids():
    seen = to_other([3, 5])(EVEN, np.full(EVEN.shape, 80, np.int32))
    assert abs((seen == 3).mean() - 0.5) < 1e-4
    assert set(seen.tolist()) == {3, 5}


def test_a_part_of_weight_zero_is_never_drawn():
    assert set(mixture([(0.0, to_mask(1)), (1.0, to_mask(2)), (0.0, keep())])(EVEN, EVEN).tolist()) == {2}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixture([(0.5, keep())]), r"sum to 1: got \[0.5\]"),
        (lambda: mixture([(1.5, keep()), (-0.5, keep())]), "not negative"),
        (lambda: to_random([]), "at least one id: got none"),
        (lambda: to_other([5]), r"at least two distinct ids: got \[5\]"),
        (lambda: to_other([5, 5]), "at least two distinct ids"),
    ],
)
def test_mistakes_are_told(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_shares_are_exact_and_everything_is_everything(as_array):
    fractions = as_array(np.array([-1, 0, 2**-24, 0.5, 1 - 2**-24, 1, 2], np.float32))
    expected = [0, 0, 2**8, 2**31, 2**32 - 2**8, 2**32 - 1, 2**32 - 1]
    shares = as_shares(fractions)
    assert shares.tolist() == expected
    assert as_shares(shares) is shares
    np.testing.assert_array_equal(as_fractions(shares), np.clip(np.asarray(fractions), 0, 1))
    highest = as_array(np.full(7, 2**32 - 1, np.uint32))
    assert is_below(highest, shares).tolist() == [False] * 5 + [True] * 2
    assert is_below(highest, 2**32).all() and not is_below(highest, 2**32 - 1).any()
