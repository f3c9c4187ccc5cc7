"""A function over as many rows as there are, whatever the tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


@pytest.mark.parametrize("tiles", [[8, 2], [16, 4], [64, 16], [5], [3, 3]])
@pytest.mark.parametrize("num", [23, 4])
def test_every_counted_row_is_computed_whatever_the_tiles(tiles, num):
    rows = jnp.arange(num, dtype=jnp.int32)
    run = jax.jit(
        lambda count: ops.map_counted_tiles(lambda a, b: 10 * a + b, (rows, rows + 1), count, tiles)
    )
    for count in range(num + 1):
        found = np.asarray(run(jnp.int32(count)))
        np.testing.assert_array_equal(found[:count], 11 * np.arange(count) + 1)
        assert found.shape == (num,)


def test_rows_of_any_rank_give_trees_of_any_rank():
    rows = jnp.arange(12.0).reshape(6, 2)
    found = ops.map_counted_tiles(
        lambda a: {"sum": a.sum(1), "outer": a[:, :, None] * a[:, None]}, [rows], jnp.int32(3), [2]
    )
    np.testing.assert_array_equal(found["sum"][:3], [1, 5, 9])
    np.testing.assert_array_equal(found["outer"][2], [[16, 20], [20, 25]])
    assert found["outer"].shape == (6, 2, 2)


def test_few_rows_take_small_tiles():
    taken = []

    def one_tile(first, second):
        jax.debug.callback(lambda: taken.append(len(first)))
        return first + second

    rows = jnp.zeros(64, jnp.int32)
    for count, wanted in ((0, []), (3, [4]), (11, [4, 4, 4]), (13, [16]), (20, [16, 4]), (64, [16] * 4)):
        taken.clear()
        ops.map_counted_tiles(one_tile, (rows, rows), jnp.int32(count), [16, 4])
        jax.effects_barrier()
        assert taken == wanted
