"""How far a key is from a query, in few buckets; and positions as waves."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxlm.typing import Array, Int


def distance_buckets(
    distances: Int[Array, "*batch"], *, num_buckets: int, max_distance: int, causal: bool
) -> Int[Array, "*batch"]:
    """Returns the bucket of each distance: one each for short ones, then wider ones up to `max_distance`.

    Of `n` buckets the first `n // 2` are for the distances below that number; the others divide those up to
    `max_distance` evenly by their logarithm, and the last one holds all beyond. If `causal`, all buckets are
    for keys that are not later than their query, and later ones count as 0 away; else half of them are for
    these and the other half for later ones.

    Args:
      distances: `Int[...]`, the key's position less the query's.
      num_buckets: of both directions together.
      max_distance: from which on all distances are one.
      causal: whether only earlier keys are told apart.

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
    """The bucket of 0, 1, ..., `max_distance`; in float32, whose rounding decides at a bucket's edge."""
    exact = num_buckets // 2
    ratios = np.maximum(np.arange(max_distance + 1, dtype=np.float32), 1) / np.float32(exact)
    share = np.log(ratios) / np.float32(np.log(max_distance / exact))
    wide = exact + (share * np.float32(num_buckets - exact)).astype(np.int32)
    short = np.arange(max_distance + 1, dtype=np.int32)
    return np.where(short < exact, short, np.minimum(wide, num_buckets - 1)).astype(np.int32)


@functools.lru_cache(maxsize=8)
def sinusoids(num_positions: int, width: int) -> np.ndarray:
    """Returns `Float32[L D]`: of each position the sines, then the cosines, of waves of growing length.

    Wave `i` of `D / 2` has the angle `position / 10000^(2i / D)`.

    Args:
      num_positions: L.
      width: D, even.

    Example:
      >>> from jaxlm.ops import sinusoids
      >>> sinusoids(2, 4).round(2)
      array([[0.  , 0.  , 1.  , 1.  ],
             [0.84, 0.01, 0.54, 1.  ]], dtype=float32)

    References:
      Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762 (section 3.5; the
        sines side by side as Marian has them).
    """
    speeds = 10000.0 ** -(np.arange(0, width, 2) / width)
    angles = np.arange(num_positions)[:, None] * speeds
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
