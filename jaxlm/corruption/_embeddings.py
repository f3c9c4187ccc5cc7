"""Gaussian noise on the embeddings that a model reads."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from jaxlm import ops
from jaxlm.typing import Array, Bool, Float, Int, Key


class NoisyEmbeddings(NamedTuple):
    """Embeddings that are mixed with normal noise.

    Attributes:
      embeddings: `Float[B L D]`, in the dtype of the clean embeddings.
      fractions: `Float32[B L]`, the weight of the noise at each position, 0 at positions without noise.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import NoisyEmbeddings
      >>> noisy = NoisyEmbeddings(jnp.ones((1, 2, 3)), fractions=jnp.array([[0.5, 0.0]]))
      >>> (noisy.fractions > 0).tolist()  # which positions have noise
      [[True, False]]
    """

    embeddings: Array
    fractions: Array


def corrupt_embeddings(
    rng: Key[Array, ""],
    embeddings: Float[Array, "B L D"],
    allowed: Bool[Array, "B L"],
    *,
    example_ids: Int[Array, "B L"],
    offsets: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    epochs: Int[Array, " B"],
    fractions: float | Float[Array, "B L"],
    variance: float = 10.0,
) -> NoisyEmbeddings:
    """Returns `x' = (1 - f) x + f sqrt(variance) e` at every allowed position, with e standard normal.

    x is a token's embedding. The fraction f is not a share of the positions: every allowed position is mixed
    with noise. The noise of a position is a function of (rng, epoch, example id, offset), the same in any
    batch and packing. It is computed in float32 and differentiable in `embeddings` and `fractions`.

    Args:
      rng: PRNG key, the same one for the whole run; use it for no draws of your own.
      embeddings: `Float[B L D]`, the clean embeddings x.
      allowed: `Bool[B L]`, True = may be mixed with noise. Padding never is.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.
      offsets: `Int[B L]`, the index of each position in its example.
      segments: `Int[B L]`, the number of each position's segment (text) in its row, from 1; 0 = padding.
      epochs: `Int[B]`, the epoch of each row.
      fractions: f in [0, 1]: one number for all positions, or one for each position, such as
        `as_fractions(draw_fractions(...))`.
      variance: the variance of the noise where f is 1.

    Returns:
      `NoisyEmbeddings`, whose embeddings have the dtype of the given ones.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import corrupt_embeddings
      >>> tokens = jnp.ones((1, 4), jnp.int32)
      >>> where = dict(example_ids=tokens, offsets=tokens, segments=tokens, epochs=tokens[:, 0])
      >>> noisy = corrupt_embeddings(
      ...     jax.random.key(0), jnp.ones((1, 4, 2)), jnp.array([[True, False, False, False]]), **where,
      ...     fractions=0.5)
      >>> noisy.embeddings[0, 1].tolist(), noisy.fractions.tolist()
      ([1.0, 1.0], [[0.5, 0.0, 0.0, 0.0]])
    """
    normals = ops.position_normals(rng, epochs, example_ids, offsets, embeddings.shape[-1])
    shares = jnp.broadcast_to(jnp.asarray(fractions, jnp.float32), segments.shape)
    shares = jnp.where(allowed & (segments > 0), shares, jnp.zeros_like(shares))
    weight = shares[..., None]
    clean = embeddings.astype(jnp.float32)
    noisy = (1 - weight) * clean + weight * (math.sqrt(variance) * normals)
    return NoisyEmbeddings(noisy.astype(embeddings.dtype), shares)
