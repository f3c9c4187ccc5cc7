"""Buckets of distances between positions, as in T5; and sinusoidal position embeddings."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxlm.typing import Array, Int


def distance_buckets(
    distances: Int[Array, "*batch"], *, num_buckets: int, max_distance: int, causal: bool
) -> Int[Array, "*batch"]:
    """Returns the bucket of each distance: one per short distance, wider buckets up to `max_distance`.

    Let a direction (keys before or after the query) have `n` buckets. Each distance below `n // 2` has a
    bucket of its own. The other buckets divide the distances up to `max_distance` evenly on a logarithmic
    scale, and the last one also holds all larger distances. If `causal`, all buckets are for keys not later
    than their query, and later keys count as distance 0; else half of the buckets are for earlier keys and
    half for later ones.

    Args:
      distances: `Int[...]`, the key's position minus the query's position.
      num_buckets: number of buckets, of both directions together.
      max_distance: the distance from which on all distances share a bucket.
      causal: whether all buckets are for keys that are not later than their query.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import distance_buckets
      >>> distances = jnp.array([-200, -3, 0, 3])
      >>> distance_buckets(distances, num_buckets=8, max_distance=16, causal=False).tolist()
      [3, 2, 0, 6]

    References:
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, https://arxiv.org/abs/1910.10683 (section 2.1; the division is that of its code).
    """
    if causal:
        table = jnp.asarray(_table(num_buckets, max_distance))
        return table[jnp.clip(-distances, 0, max_distance)]
    table = jnp.asarray(_table(num_buckets // 2, max_distance))
    later = jnp.where(distances > 0, num_buckets // 2, 0).astype(jnp.int32)
    return later + table[jnp.clip(jnp.abs(distances), 0, max_distance)]


@functools.lru_cache(maxsize=64)
def _table(num_buckets: int, max_distance: int) -> np.ndarray:
    """Returns the buckets of 0, 1, ..., `max_distance`, in float32, whose rounding matters at the edges."""
    exact = num_buckets // 2
    ratios = np.maximum(np.arange(max_distance + 1, dtype=np.float32), 1) / np.float32(exact)
    share = np.log(ratios) / np.float32(np.log(max_distance / exact))
    wide = exact + (share * np.float32(num_buckets - exact)).astype(np.int32)
    short = np.arange(max_distance + 1, dtype=np.int32)
    return np.where(short < exact, short, np.minimum(wide, num_buckets - 1)).astype(np.int32)


@functools.lru_cache(maxsize=8)
def sinusoids(num_positions: int, width: int) -> np.ndarray:
    """Returns `Float32[L D]`: for each position the sines, then the cosines, of angles of falling frequency.

    Angle `i` of `D / 2` is `position / 10000^(2i / D)`.

    Args:
      num_positions: L, the number of positions.
      width: D, an even number.

    Example:
      >>> from jaxlm.ops import sinusoids
      >>> sinusoids(2, 4).round(2)
      array([[0.  , 0.  , 1.  , 1.  ],
             [0.84, 0.01, 0.54, 1.  ]], dtype=float32)

    References:
      Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762 (section 3.5;
        all sines before all cosines, as in Marian).
    """
    frequencies = 10000.0 ** -(np.arange(0, width, 2) / width)
    angles = np.arange(num_positions)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
