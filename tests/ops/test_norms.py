import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxlm import ops


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_layer_norm_has_mean_bias_and_deviation_scale(dtype):
    inputs = (jax.random.normal(jax.random.key(0), (4, 3, 16)) * 5 + 100).astype(dtype)
    outputs = jax.jit(ops.layer_norm, static_argnums=3)(inputs, jnp.full(16, 2.0), jnp.full(16, 3.0), 1e-12)
    assert outputs.dtype == dtype
    values = np.asarray(inputs, np.float64)
    wanted = (values - values.mean(-1, keepdims=True)) / values.std(-1, keepdims=True) * 2 + 3
    # float32 keeps 1e-5 of a mean of 100 over a deviation of 5; bfloat16 rounds the result to 8 bits.
    tolerance = 1e-4 if dtype == jnp.float32 else 2**-6
    np.testing.assert_allclose(np.asarray(outputs, np.float64), wanted, atol=tolerance, rtol=2**-8)


def test_rms_norm_divides_by_the_root_mean_square():
    inputs = jnp.array([[3.0, 4.0, 0.0, 0.0]])
    wanted = np.array([[3.0, 4.0, 0.0, 0.0]]) / 2.5 * np.arange(1, 5)
    np.testing.assert_allclose(ops.rms_norm(inputs, jnp.arange(1.0, 5.0), 0.0), wanted, rtol=1e-6)


def test_constant_rows_have_finite_gradients():
    with jax.debug_nans(True):
        jax.grad(lambda x: ops.layer_norm(x, jnp.ones(4), jnp.ones(4), 1e-5).sum())(jnp.zeros((2, 4)))
        jax.grad(lambda x: ops.rms_norm(x, jnp.ones(4), 1e-5).sum())(jnp.zeros((2, 4)))


def test_gradients_are_those_of_differences():
    keys = jax.random.split(jax.random.key(3), 4)
    inputs, upstream = (jax.random.normal(key, (3, 8)) for key in keys[:2])
    scale, bias = (jax.random.normal(key, (8,)) for key in keys[2:])
    tolerance = {"order": 1, "modes": ["rev"], "atol": 1e-2, "rtol": 1e-2}  # differences in float32

    def layer(*arrays):
        return (ops.layer_norm(*map(jnp.asarray, arrays), 1e-5) * upstream).sum()

    def root_mean_square(*arrays):
        return (ops.rms_norm(*map(jnp.asarray, arrays), 1e-5) * upstream).sum()

    check_grads(jax.jit(layer), (inputs, scale, bias), **tolerance)
    check_grads(jax.jit(root_mean_square), (inputs, scale), **tolerance)
