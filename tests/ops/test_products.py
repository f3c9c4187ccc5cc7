import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.ops._products import product, row_major, transposed


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("left_axis", "right_axis"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_every_pair_of_axes(batch, left_axis, right_axis, dtype):
    shapes = [(5, 4) if axis else (4, 5) for axis in (left_axis, right_axis)]
    rngs = jax.random.split(jax.random.key(0))
    left, right = (
        jax.random.normal(rng, (*batch, *shape), dtype) for rng, shape in zip(rngs, shapes, strict=True)
    )
    offset = len(batch)

    def multiply(left, right):
        return product(left, right, offset + left_axis, offset + right_axis, num_batch_axes=offset)

    outputs = jax.jit(multiply)(left, right)
    assert outputs.dtype == jnp.float32
    subscripts = f"...{'ik' if left_axis else 'ki'},...{'jk' if right_axis else 'kj'}->...ij"
    wanted = np.einsum(subscripts, np.asarray(left, np.float64), np.asarray(right, np.float64))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_rows", [1, 2, 15, 16, 17])
@pytest.mark.parametrize(("left_axis", "right_axis"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_few_rows(batch, left_axis, right_axis, num_rows):
    """As decoding has them; bfloat16 operands, whose products are exact in float32."""
    left_shape = (num_rows, 24) if left_axis else (24, num_rows)
    right_shape = (7, 24) if right_axis else (24, 7)
    rngs = jax.random.split(jax.random.key(1))
    left = jax.random.normal(rngs[0], (*batch, *left_shape), jnp.bfloat16)
    right = jax.random.normal(rngs[1], (*batch, *right_shape), jnp.bfloat16)
    offset = len(batch)
    axes = (offset + left_axis, offset + right_axis)
    outputs = jax.jit(lambda *sides: product(*sides, *axes, num_batch_axes=offset))(left, right)
    assert outputs.dtype == jnp.float32
    subscripts = f"...{'ik' if left_axis else 'ki'},...{'jk' if right_axis else 'kj'}->...ij"
    wanted = np.einsum(subscripts, np.asarray(left, np.float64), np.asarray(right, np.float64))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5)


def test_layouts_change_no_value_under_any_transformation():
    array = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(transposed(array), np.swapaxes(array, -1, -2))
    np.testing.assert_array_equal(jax.vmap(transposed)(array), np.swapaxes(array, -1, -2))
    np.testing.assert_array_equal(jax.jit(row_major)(array.T), array.T)
    gradient = jax.jit(jax.grad(lambda x: (transposed(x) ** 2).sum()))(array)
    np.testing.assert_array_equal(gradient, 2 * array)
    mapped = jax.pmap(lambda x: transposed(x), devices=jax.devices()[:2])(array)
    np.testing.assert_array_equal(mapped, np.swapaxes(array, -1, -2))
