"""BERT masking: hide a share of the positions and ask for them back."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.corruption._choice import choose
from jaxlm.corruption._config import MaskingConfig
from jaxlm.corruption._corrupt import Corrupted
from jaxlm.corruption._replacement import replaced
from jaxlm.typing import Array, Bool, Int, Key


@partial(jax.jit, static_argnames=("config", "mask_id"))
def mask_tokens(
    rng: Key[Array, ""],
    tokens: Int[Array, "B L"],
    allowed: Bool[Array, "B L"],
    *,
    example_ids: Int[Array, "B L"],
    offsets: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    epochs: Int[Array, " B"],
    config: MaskingConfig,
    mask_id: int,
    random_ids: Int[Array, " R"],
) -> Corrupted:
    """Returns the batch with a share of its allowed positions masked, randomised or kept, to be predicted.

    A position's fate is a function of (rng, epoch, example id, offset) and, for exact counts, of the draws
    of the rest of its segment: the same at any batch size, order of rows, packing, number of devices and
    resume point. Exact counts choose the positions of the smallest draws in each segment, equal draws in
    the order of their offsets. An example that packing split is a segment a piece, and each piece has its
    own count. Pure and static in its shapes: jit, vmap, pmap and shard_map it.

    Args:
      rng: PRNG key, consumed; the same for the whole run.
      tokens: `Int[B L]` clean ids.
      allowed: `Bool[B L]`, True = may be corrupted (see `corruptible`). Padding never is.
      example_ids: `Int[B L]`, the example that each position belongs to.
      offsets: `Int[B L]`, its offset in that example, not negative.
      segments: `Int[B L]`, a row's segments numbered 1 .. L, 0 = padding; an example's piece is a segment
        of its own.
      epochs: `Int[B]`, the epoch that each row is of.
      config: rate, shares and kind of count.
      mask_id: the mask's id.
      random_ids: `Int[R]`, what random ids are drawn from: the vocabulary without specials.

    Returns:
      `Corrupted`.

    Raises:
      ValueError: if random ids are to be drawn and there are none.

    Example:
      >>> tokens = jnp.arange(10, 30).reshape(1, 20)
      >>> where = dict(example_ids=tokens * 0, offsets=tokens - 10, segments=tokens // tokens)
      >>> corrupted = mask_tokens(
      ...     jax.random.key(0), tokens, tokens > 12, **where, epochs=jnp.array([0]), config=MaskingConfig(),
      ...     mask_id=4, random_ids=jnp.arange(6, 30))
      >>> int(corrupted.loss_mask.sum())
      3
      >>> bool((corrupted.targets == tokens).all())
      True

    References:
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805 (section 3.1).
    """
    bits = ops.uniform_bits(rng, epochs, example_ids, offsets)
    allowed &= segments > 0
    chosen = choose(bits[..., 0], offsets, allowed, segments, None, rate=config.rate, count=config.count)
    seen = replaced(bits[..., 1], tokens, chosen, config=config, mask_id=mask_id, random_ids=random_ids)
    fractions = jnp.where(segments > 0, jnp.float32(config.rate), jnp.float32(0))
    return Corrupted(tokens=seen, targets=tokens, loss_mask=chosen, fractions=fractions)
