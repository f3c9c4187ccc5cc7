"""A static number of slots: nothing is lost unless it is counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import corruption

gather = jax.jit(corruption.gather_masked, static_argnums=1)
limit = jax.jit(corruption.limit_masked, static_argnums=1)
masks = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda flat: np.array(flat).reshape(3, 4))


@given(masks, st.sampled_from([1, 4, 12, 20]))
@settings(max_examples=50, deadline=None)
def test_indices_are_the_first_true_positions(mask, capacity):
    masked = gather(jnp.asarray(mask), capacity)
    where = np.flatnonzero(mask)
    kept = min(len(where), capacity)
    assert masked.indices[:kept].tolist() == where[:kept].tolist()
    assert masked.weights.tolist() == [1.0] * kept + [0.0] * (capacity - kept)
    assert int(masked.overflow) == len(where) - kept
    assert masked.indices.shape == (capacity,)
    assert masked.weights.dtype == jnp.float32
    assert not masked.indices[kept:].any()


@given(masks, st.sampled_from([1, 4, 12]))
@settings(max_examples=50, deadline=None)
def test_what_is_over_the_limit_is_as_it_was(mask, capacity):
    clean = np.arange(100, 112, dtype=np.int32).reshape(3, 4)
    corrupted = corruption.Corrupted(
        jnp.asarray(np.where(mask, 4, clean)),
        jnp.asarray(clean),
        jnp.asarray(mask),
        jnp.full((3, 4), 0.5, jnp.float32),
    )
    limited, overflow = limit(corrupted, capacity)
    first = np.zeros(12, bool)
    first[np.flatnonzero(mask)[:capacity]] = True
    np.testing.assert_array_equal(limited.loss_mask, first.reshape(3, 4))
    np.testing.assert_array_equal(limited.tokens, np.where(first.reshape(3, 4), 4, clean))
    np.testing.assert_array_equal(limited.targets, clean)
    assert int(overflow) == mask.sum() - first.sum()
    assert int(gather(limited.loss_mask, capacity).overflow) == 0


def test_gathering_is_static_under_vmap():
    mask = np.random.default_rng(0).random((5, 3, 4)) < 0.4
    mapped = jax.vmap(lambda mask: corruption.gather_masked(mask, 6))(jnp.asarray(mask))
    for index in range(5):
        np.testing.assert_array_equal(mapped.indices[index], gather(jnp.asarray(mask[index]), 6).indices)


def test_no_room_is_refused():
    with pytest.raises(ValueError, match="at least one masked position: got capacity=0"):
        corruption.gather_masked(jnp.ones((1, 1), bool), 0)


@pytest.mark.parametrize(
    ("num_positions", "rate", "expected"),
    [(32768, 0.15, 5304), (1024, 0.15, 224), (16, 0.5, 16), (100, 1.0, 104), (100, 0.0, 8), (5, 0.15, 8)],
)
def test_bernoulli_room_is_six_deviations_over_the_mean(num_positions, rate, expected):
    assert corruption.bernoulli_capacity(num_positions, rate) == expected


def test_bernoulli_batches_fit_their_bound(pack):
    rows = pack({id_: np.full(128, 9) for id_ in range(8)}, [[id_] for id_ in range(8)], 128)
    room = corruption.bernoulli_capacity(8 * 128, 0.15)

    def number(rng):
        corrupted = corruption.corrupt(
            rng,
            *(jnp.asarray(rows.tokens), jnp.ones((8, 128), bool)),
            example_ids=jnp.asarray(rows.example_ids),
            offsets=jnp.asarray(rows.offsets),
            segments=jnp.asarray(rows.segments),
            epochs=jnp.asarray(rows.epochs),
            replacement=corruption.to_mask(4),
            rate=0.15,
            count="bernoulli",
        )
        return corrupted.loss_mask.sum()

    numbers = jax.jit(jax.vmap(number))(jax.random.split(jax.random.key(0), 200))
    assert numbers.max() <= room
    assert numbers.max() > 165  # one deviation of 11.4 over the mean: the bound is not merely far away
