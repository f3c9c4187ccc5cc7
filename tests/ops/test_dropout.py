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
