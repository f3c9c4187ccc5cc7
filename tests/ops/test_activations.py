import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


def test_it_is_the_exact_gelu_within_a_millionth():
    inputs = jnp.linspace(-12.0, 12.0, 100_001)
    wanted = jax.nn.gelu(inputs, approximate=False)
    np.testing.assert_allclose(jax.jit(ops.gelu)(inputs), wanted, atol=1e-6, rtol=1e-6)


def test_its_slope_is_the_exact_one():
    inputs = jnp.linspace(-12.0, 12.0, 10_001)
    slope = jax.jit(jax.vmap(jax.grad(ops.gelu)))(inputs)
    wanted = jax.vmap(jax.grad(lambda x: jax.nn.gelu(x, approximate=False)))(inputs)
    np.testing.assert_allclose(slope, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 40.0, -40.0, 1e30, -1e30])
def test_large_values_are_finite_in_both_directions(value):
    with jax.debug_nans(True):
        outputs, slope = jax.value_and_grad(ops.gelu)(jnp.float32(value))
    assert outputs == jnp.maximum(jnp.float32(value), 0.0)
    assert float(slope) == (0.5 if value == 0.0 else float(value > 0))


def test_bfloat16_is_computed_in_float32():
    inputs = jnp.linspace(-4.0, 4.0, 257).astype(jnp.bfloat16)
    wanted = jax.nn.gelu(inputs.astype(jnp.float32), approximate=False).astype(jnp.bfloat16)
    # The last of 8 bits may round the other way.
    np.testing.assert_allclose(
        np.asarray(ops.gelu(inputs), np.float32), np.asarray(wanted, np.float32), rtol=2**-7, atol=1e-6
    )
