"""A function of many rows, computed some rows at a time, over as many as there are."""

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
    """Returns `one_tile` of the first `count` rows, and of some beyond them; beyond the last tile, zeros.

    How many rows are computed is known when it runs: rows beyond `count` cost nothing but the last tile's.

    Args:
      one_tile: of the arrays' rows of a tile to a pytree of arrays, whose rows are those of the tile.
      arrays: each with as many rows as the others.
      count: how many of the rows are wanted.
      tiles: rows at a time: as many of the first as fit, or nearly, then of the next; each is a multiple of
        the one behind it.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import map_counted_tiles
      >>> places = jnp.arange(8)
      >>> map_counted_tiles(lambda a, b: a + b, (places, places), jnp.int32(5), [4, 2]).tolist()
      [0, 2, 4, 6, 8, 10, 0, 0]
    """
    num = arrays[0].shape[0]
    smallest = min(tiles[-1], num)
    tiles = [max(min(tile, num) // smallest, 1) * smallest for tile in tiles]
    width = -(-num // tiles[0]) * tiles[0]
    arrays = [jnp.pad(array, ((0, width - num), *((0, 0),) * (array.ndim - 1))) for array in arrays]
    one = jax.eval_shape(one_tile, *(array[:smallest] for array in arrays))
    filled = jax.tree.map(lambda leaf: jnp.zeros((width, *leaf.shape[1:]), leaf.dtype), one)
    done = jnp.zeros_like(count)
    for tile in dict.fromkeys(tiles):

        def step(number: Array, filled: Any, tile: int = tile, done: Array = done) -> Any:
            start = done + number * tile
            values = one_tile(*(lax.dynamic_slice_in_dim(array, start, tile) for array in arrays))
            return jax.tree.map(
                lambda old, new: lax.dynamic_update_slice_in_dim(old, new, start, 0), filled, values
            )

        # A large tile with a quarter to spare costs less than small ones.
        spare = tile - 1 if tile == tiles[-1] else tile // 4
        rounds = (jnp.maximum(count - done, 0) + spare) // tile
        filled, done = lax.fori_loop(0, rounds, step, filled), done + rounds * tile
    return jax.tree.map(lambda leaf: leaf[:num], filled)
