import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_expectation(rate):
    dropped = np.asarray(
        jax.jit(lambda rng, x: ops.dropout(rng, x, rate))(jax.random.key(1), jnp.ones((300, 1000)))
    )
    # Five standard deviations of a mean of 300,000 draws.
    assert abs((dropped == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)
    np.testing.assert_allclose(dropped[dropped != 0], 1 / (1 - rate), rtol=1e-6)


def test_the_gradient_passes_where_the_value_passed():
    inputs = jnp.linspace(1.0, 2.0, 64).reshape(8, 8)
    outputs, pullback = jax.vjp(lambda x: ops.dropout(jax.random.key(2), x, 0.3), inputs)
    (gradient,) = pullback(jnp.ones_like(outputs))
    np.testing.assert_allclose(gradient * inputs, outputs, rtol=1e-6)


def test_no_rate_is_no_dropout_and_a_bad_one_is_refused():
    inputs = jnp.ones(3)
    assert ops.dropout(jax.random.key(0), inputs, 0.0) is inputs
    with pytest.raises(ValueError, match=r"\[0, 1\), got 1.0"):
        ops.dropout(jax.random.key(0), inputs, 1.0)


def _mask(seed, shape=(512, 512)):
    return np.asarray(ops.dropout(jax.random.key(seed), jnp.ones(shape), 0.5) != 0)


@pytest.mark.parametrize(
    "pair",
    [
        lambda: (_mask(0), _mask(1)),
        lambda: (_mask(0), _mask(2**31)),
        lambda: (_mask(0)[1:], _mask(0)[:-1]),
        lambda: (_mask(0)[:, 1:], _mask(0)[:, :-1]),
        lambda: (_mask(0)[::2], _mask(0)[1::2]),
        lambda: (_mask(0)[:, 1:], _mask(1)[:, :-1]),
    ],
    ids=["keys", "high bits of a key", "rows", "columns", "every other row", "keys and columns"],
)
def test_masks_of_neighbours_do_not_know_each_other(pair):
    one, other = pair()
    # Agreement of independent halves is 1/2, within five standard deviations.
    assert abs((one == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(one.size)


def test_no_row_or_column_is_favoured():
    mask = _mask(3, (2048, 512))
    for axis in (0, 1):
        counts, draws = mask.sum(axis), mask.shape[axis]
        # A sum of squared deviations: chi-squared, its mean and variance known.
        statistic = (np.square(counts - draws / 2) / (draws / 4)).sum()
        assert abs(statistic - counts.size) < 5 * np.sqrt(2 * counts.size)


def test_a_mask_is_the_same_in_any_compilation_and_any_number_of_axes():
    rng, inputs = jax.random.key(9), jnp.ones((4, 6, 8))
    dropped = ops.dropout(rng, inputs, 0.4)
    np.testing.assert_array_equal(jax.jit(lambda x: ops.dropout(rng, x, 0.4))(inputs), dropped)
    np.testing.assert_array_equal(ops.dropout(rng, inputs.reshape(24, 8), 0.4).reshape(4, 6, 8), dropped)
    assert ops.dropout(rng, jnp.float32(1.0), 0.5).shape == ()
