import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_parts_and_gradients_are_those_of_slices(axis):
    inputs = jax.random.normal(jax.random.key(0), (6, 6, 6))
    weights = jax.random.normal(jax.random.key(1), (6, 6, 6))
    sizes = (1, 3, 2)
    for part, wanted in zip(ops.split(inputs, sizes, axis), jnp.split(inputs, [1, 4], axis), strict=True):
        np.testing.assert_array_equal(part, wanted)

    def loss(inputs, parts):
        wanted = jnp.split(weights, [1, 4], axis)
        return sum((part**2 * weight).sum() for part, weight in zip(parts(inputs), wanted, strict=True))

    gradient = jax.jit(jax.grad(lambda x: loss(x, lambda x: ops.split(x, sizes, axis))))(inputs)
    np.testing.assert_allclose(gradient, 2 * inputs * weights, rtol=1e-6)


def test_a_part_that_is_not_used_gets_zeros():
    gradient = jax.grad(lambda x: ops.split(x, (1, 2), 0)[0].sum())(jnp.ones(3))
    np.testing.assert_array_equal(gradient, [1.0, 0.0, 0.0])


def test_sizes_sum_up_to_the_axis():
    with pytest.raises(ValueError, match="sum up"):
        ops.split(jnp.ones(3), (1, 1), 0)
