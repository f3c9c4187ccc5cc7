"""Applies a function to many indices, as many at once as memory allows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.typing import AnyArray, Array


def map_chunks(function: Callable[[Array], Any], num: int, chunk: int, count: AnyArray | None = None) -> Any:
    """Returns a function's results for the indices 0 to `num - 1`, computed in groups.

    Args:
      function: from the indices of a group, `Int32[C]`, to a pytree of arrays with C entries each.
      num: how many indices there are, 1 at least.
      chunk: the most indices of a group.
      count: `Int[]`, how many indices are needed, from 0 on, known at run time only; the results of the
        others are 0. Reverse-mode derivatives are not possible then. None: all are needed.

    Example:
      >>> from jaxlm.attribution._chunks import map_chunks
      >>> map_chunks(lambda indices: indices * indices, 5, chunk=2).tolist()
      [0, 1, 4, 9, 16]
    """
    if count is not None:
        size = min(max(chunk, 1), num)
        indices = [jnp.arange(num, dtype=jnp.int32)]
        return ops.map_counted_tiles(function, indices, jnp.asarray(count), [size])
    groups = -(-num // max(chunk, 1))
    size = -(-num // groups)
    if groups == 1:
        return function(jnp.arange(num, dtype=jnp.int32))
    # What the last group lacks repeats the last index.
    indices = jnp.minimum(jnp.arange(groups * size, dtype=jnp.int32), num - 1).reshape(groups, size)
    results = jax.lax.map(function, indices)
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:num], results)
