import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops

ERF = np.vectorize(math.erf)
# In float64, as the papers write them.
FUNCTIONS = {
    "gelu": (ops.gelu, lambda x: x / 2 * (1 + ERF(x / 2**0.5))),
    "gelu_tanh": (ops.gelu_tanh, lambda x: x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))),
    "silu": (ops.silu, lambda x: x / (1 + np.exp(-x))),
}
each = pytest.mark.parametrize(("ours", "wanted"), FUNCTIONS.values(), ids=FUNCTIONS)


@each
def test_values_are_right_within_a_millionth(ours, wanted):
    inputs = np.linspace(-12.0, 12.0, 20_001).astype(np.float32)
    np.testing.assert_allclose(jax.jit(ours)(inputs), wanted(inputs.astype(np.float64)), atol=1e-6, rtol=1e-6)


@each
def test_slopes_are_right_within_a_millionth(ours, wanted):
    inputs = np.linspace(-12.0, 12.0, 10_001).astype(np.float32)
    slope = jax.jit(jax.vmap(jax.grad(ours)))(inputs)
    near = inputs.astype(np.float64)
    np.testing.assert_allclose(
        slope, (wanted(near + 1e-5) - wanted(near - 1e-5)) / 2e-5, atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("ours", [ops.gelu, ops.gelu_tanh, ops.silu], ids=FUNCTIONS)
@pytest.mark.parametrize("value", [0.0, 40.0, -40.0, 1e30, -1e30])
def test_large_values_are_finite_in_both_directions(ours, value):
    with jax.debug_nans(True):
        outputs, slope = jax.value_and_grad(ours)(jnp.float32(value))
        with ops.derivatives("any"):
            forward = jax.jvp(ours, (jnp.float32(value),), (jnp.float32(1.0),))
    assert forward == (outputs, slope)
    assert abs(outputs - max(value, 0.0)) < 1e-15 * max(value, 1.0)
    assert abs(slope - (0.5 if value == 0.0 else float(value > 0))) < 1e-15


@each
def test_bfloat16_is_computed_in_float32(ours, wanted):
    inputs = jnp.linspace(-4.0, 4.0, 257).astype(jnp.bfloat16)
    rounded = jnp.asarray(wanted(np.asarray(inputs, np.float64)), jnp.bfloat16)
    # The last of 8 bits may round the other way.
    np.testing.assert_allclose(
        np.asarray(ours(inputs), np.float32), np.asarray(rounded, np.float32), rtol=2**-7, atol=1e-6
    )
