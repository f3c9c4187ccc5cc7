"""The threshold search against sorting each segment by (key, tie)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops

select = jax.jit(ops.smallest_in_segments)


def sorted_choice(keys, ties, members, segments, counts):
    """Each segment's members, sorted; the first `count` are chosen."""
    chosen = np.zeros(keys.shape, bool)
    for row in range(keys.shape[0]):
        for segment in range(1, counts.shape[1] + 1):
            columns = np.flatnonzero(members[row] & (segments[row] == segment))
            ranked = sorted(columns, key=lambda column: (keys[row, column], ties[row, column]))
            chosen[row, ranked[: counts[row, segment - 1]]] = True
    return chosen


def check(keys, members, segments, counts, ties=None):
    ties = np.tile(np.arange(keys.shape[1], dtype=np.int32), (keys.shape[0], 1)) if ties is None else ties
    parts = (keys.astype(np.uint32), ties, members, segments.astype(np.int32), counts.astype(np.int32))
    np.testing.assert_array_equal(select(*map(jnp.asarray, parts)), sorted_choice(*parts))


def random_rows(generator, rows, length, most):
    segments = np.sort(generator.integers(0, most + 1, (rows, length)), axis=1)
    return segments, generator.random((rows, length)) < 0.8


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top", [1, 3, 50, 2**16, 2**32])
def test_equals_sorting_with_many_ties_and_with_none(seed, top):
    generator = np.random.default_rng(seed)
    segments, members = random_rows(generator, rows=6, length=64, most=5)
    keys = generator.integers(0, top, segments.shape)
    check(keys, members, segments, generator.integers(0, 20, (6, 5)))


def test_equals_sorting_on_long_rows():
    generator = np.random.default_rng(9)
    segments, members = random_rows(generator, rows=4, length=700, most=3)
    check(generator.integers(0, 2**32, segments.shape), members, segments, generator.integers(0, 300, (4, 3)))


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 2**31, 2**32 - 2, 2**32 - 1]), min_size=12, max_size=12),
    st.lists(st.integers(0, 7), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_equals_sorting_at_the_ends_of_the_range(keys, counts):
    segments = np.array([[1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0]])
    check(np.array([keys], np.uint64), segments >= 0, segments, np.array([counts]))


def test_ties_go_by_the_tie_and_not_by_the_place():
    keys, ones = np.full((1, 4), 7), np.ones((1, 4), int)
    ties = np.array([[3, 0, 2, 1]], np.int32)
    check(keys, ones > 0, ones, np.array([[2]]), ties)
    chosen = select(
        jnp.asarray(keys, jnp.uint32),
        jnp.asarray(ties),
        jnp.asarray(ones > 0),
        jnp.asarray(ones),
        jnp.array([[2]]),
    )
    assert chosen.tolist() == [[False, True, False, True]]


def test_skewed_keys_end_too():
    # Every even spacing is wrong here: half of the keys stand at the bottom, one at the very top.
    keys = np.concatenate([np.arange(100), 2 ** np.arange(32, dtype=np.uint64), [2**32 - 1]])[None]
    ones = np.ones(keys.shape, int)
    for count in (1, 50, 99, 101, 120, 132, 133):
        check(keys, ones > 0, ones, np.array([[count]]))


def test_a_segment_need_not_be_contiguous_and_other_ids_are_left_alone():
    segments = np.array([[1, 2, 1, 2, 9, -1]])
    check(np.array([[4, 3, 2, 1, 0, 0]]), segments > -2, segments, np.array([[1, 1]]))


def test_vmap_is_a_loop():
    generator = np.random.default_rng(3)
    segments, members = random_rows(generator, rows=4, length=32, most=3)
    keys = generator.integers(0, 8, (5, 4, 32)).astype(np.uint32)
    ties = np.tile(np.arange(32, dtype=np.int32), (4, 1))
    rest = tuple(map(jnp.asarray, (ties, members, segments.astype(np.int32), np.full((4, 3), 3, np.int32))))
    mapped = jax.jit(jax.vmap(lambda keys: ops.smallest_in_segments(keys, *rest)))(jnp.asarray(keys))
    for index in range(5):
        np.testing.assert_array_equal(mapped[index], select(jnp.asarray(keys[index]), *rest))


def test_maxima_of_segments():
    generator = np.random.default_rng(5)
    segments, _ = random_rows(generator, rows=4, length=32, most=6)
    values = generator.integers(0, 2**32, segments.shape, dtype=np.uint32)
    found = ops.segment_maxima(jnp.asarray(values), jnp.asarray(segments), 5)
    for row, segment in np.ndindex(4, 5):
        assert found[row, segment] == max(values[row][segments[row] == segment + 1], default=0)
