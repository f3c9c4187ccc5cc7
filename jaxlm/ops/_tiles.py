"""Applies a function to a dynamic number of rows, a tile of rows at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm.typing import Array, Int


def map_counted_tiles(
    one_tile: Callable[..., Any],
    arrays: Sequence[Array],
    count: Int[Array, ""],
    tiles: Sequence[int],
) -> Any:
    """Returns `one_tile` applied to the first `count` rows; rows beyond the last tile are zeros.

    A tile is a group of rows that is computed at once. `count` is known at run time only, and tiles beyond it
    are not computed. The last tile may include some rows beyond `count`.

    Args:
      one_tile: a function from the rows of a tile to a pytree of arrays, with one row for each row of the
        tile.
      arrays: the arrays whose rows `one_tile` gets, all with the same number of rows.
      count: how many rows are needed, from the first one on.
      tiles: sizes of tiles, from large to small, each a multiple of the next: as many tiles of the first size
        are used as fit (or nearly fit), then tiles of the next size.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import map_counted_tiles
      >>> rows = jnp.arange(8)
      >>> map_counted_tiles(lambda a, b: a + b, (rows, rows), jnp.int32(5), [4, 2]).tolist()
      [0, 2, 4, 6, 8, 10, 0, 0]
    """
    num = arrays[0].shape[0]
    smallest = min(tiles[-1], num)
    tiles = [max(min(tile, num) // smallest, 1) * smallest for tile in tiles]
    width = -(-num // tiles[0]) * tiles[0]
    arrays = [jnp.pad(array, ((0, width - num), *((0, 0),) * (array.ndim - 1))) for array in arrays]
    shapes = jax.eval_shape(one_tile, *(array[:smallest] for array in arrays))
    filled = jax.tree.map(lambda leaf: jnp.zeros((width, *leaf.shape[1:]), leaf.dtype), shapes)
    done = jnp.zeros_like(count)
    for tile in dict.fromkeys(tiles):

        def step(number: Array, filled: Any, tile: int = tile, done: Array = done) -> Any:
            start = done + number * tile
            values = one_tile(*(lax.dynamic_slice_in_dim(array, start, tile) for array in arrays))
            return jax.tree.map(
                lambda old, new: lax.dynamic_update_slice_in_dim(old, new, start, 0), filled, values
            )

        # A large tile that is three quarters full costs less than small tiles.
        spare = tile - 1 if tile == tiles[-1] else tile // 4
        rounds = (jnp.maximum(count - done, 0) + spare) // tile
        filled, done = lax.fori_loop(0, rounds, step, filled), done + rounds * tile
    return jax.tree.map(lambda leaf: leaf[:num], filled)
