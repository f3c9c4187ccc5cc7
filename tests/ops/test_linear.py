import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


def _arrays(dtype, rows=(3, 5), width=8, out=6):
    keys = jax.random.split(jax.random.key(0), 4)
    inputs = jax.random.normal(keys[0], (*rows, width), dtype)
    kernel = jax.random.normal(keys[1], (out, width))
    bias = jax.random.normal(keys[2], (out,))
    return inputs, kernel, bias, jax.random.normal(keys[3], (*rows, out))


def _oracle(inputs, kernel, bias):
    return np.asarray(inputs, np.float64) @ np.asarray(kernel, np.float64).T + np.asarray(bias, np.float64)


def test_the_affine_map_in_float32():
    inputs, kernel, bias, _ = _arrays(jnp.float32)
    outputs = jax.jit(ops.linear)(inputs, kernel, bias)
    np.testing.assert_allclose(outputs, _oracle(inputs, kernel, bias), rtol=1e-5, atol=1e-5)


def test_leading_axes_and_no_bias():
    _, kernel, _, _ = _arrays(jnp.float32)
    assert ops.linear(jnp.ones(8), kernel).shape == (6,)
    np.testing.assert_allclose(ops.linear(jnp.ones((2, 1, 3, 8)), kernel)[1, 0, 2], kernel.sum(-1), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_are_those_of_the_plain_product(dtype):
    inputs, kernel, bias, weights = _arrays(dtype)

    def loss(inputs, kernel, bias):
        return (ops.linear(inputs, kernel, bias).astype(jnp.float32) * weights).sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(inputs, kernel, bias)
    assert [g.dtype for g in gradients] == [dtype, jnp.float32, jnp.float32]
    # bfloat16 keeps 8 bits of each operand; sums are over at most 15 of them.
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == jnp.float32 else {"rtol": 2e-2, "atol": 5e-2}
    upstream = np.asarray(weights, np.float64)
    expected = (
        upstream @ np.asarray(kernel, np.float64),
        np.einsum("abo,abi->oi", upstream, np.asarray(inputs, np.float64)),
        upstream.sum((0, 1)),
    )
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(np.asarray(gradient, np.float64), wanted, **tolerance)


def test_preferred_keeps_what_was_accumulated():
    inputs = jnp.ones((1, 256), jnp.bfloat16).at[0, 0].set(0.5)
    kernel = jnp.ones((1, 256))
    assert float(ops.linear(inputs, kernel, preferred=jnp.float32)[0, 0]) == 255.5
    assert ops.linear(inputs, kernel).dtype == jnp.bfloat16
    gradient = jax.grad(lambda kernel: ops.linear(inputs, kernel, preferred=jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.float32


def test_it_maps_over_a_batch_of_kernels():
    inputs, kernel, bias, weights = _arrays(jnp.float32)
    kernels = jnp.stack([kernel, 2 * kernel])

    def loss(kernel):
        return (ops.linear(inputs, kernel, bias) * weights).sum()

    mapped = jax.vmap(jax.grad(loss))(kernels)
    np.testing.assert_allclose(mapped[1], jax.grad(loss)(kernels[1]), rtol=1e-5, atol=1e-5)
