"""BERT masking: hide a share of the positions and ask for them back."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.corruption._config import MaskingConfig
from jaxlm.corruption._replacement import is_below, replaced, share_bound
from jaxlm.typing import Array, Bool, Int, Key, UInt32

# Rows seldom hold more segments than this, and tables for so few halve the cost of an exact count.
_FEW_SEGMENTS = 64


class Corrupted(NamedTuple):
    """A corrupted batch: what the model sees, what it is to predict, and where that counts.

    `tokens` `Int[B L]` corrupted ids; `targets` `Int[B L]` the clean ids, everywhere; `loss_mask` `Bool[B
    L]`, True = counts in the loss (chosen, even if the token was kept).

    Example:
      >>> clean = jnp.array([[5, 6]])
      >>> Corrupted(tokens=jnp.array([[4, 6]]), targets=clean, loss_mask=clean == 5).loss_mask.tolist()
      [[True, False]]
    """

    tokens: Array
    targets: Array
    loss_mask: Array


def corruptible(
    tokens: Int[Array, "B L"], segments: Int[Array, "B L"], forbidden: np.ndarray | Bool[Array, " V"]
) -> Bool[Array, "B L"]:
    """Returns where corruption may act: on what is real and not a special.

    Args:
      tokens: `Int[B L]` ids.
      segments: `Int[B L]`, 0 = padding.
      forbidden: `Bool[V]`, True = a special: never chosen.

    Returns:
      `Bool[B L]`, True = may be corrupted.

    Example:
      >>> specials = np.arange(6) < 5
      >>> corruptible(jnp.array([[2, 5, 0]]), jnp.array([[1, 1, 0]]), specials).tolist()
      [[False, True, False]]
    """
    return (segments > 0) & ~jnp.asarray(forbidden)[tokens]


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
    if config.count == "bernoulli":
        chosen = allowed & is_below(bits[..., 0], share_bound(config.rate))
    else:
        chosen = _choose_exactly(bits[..., 0], offsets, allowed, segments, config.rate)
    seen = replaced(bits[..., 1], tokens, chosen, config=config, mask_id=mask_id, random_ids=random_ids)
    return Corrupted(tokens=seen, targets=tokens, loss_mask=chosen)


def _choose_exactly(
    draws: UInt32[Array, "B L"],
    offsets: Int[Array, "B L"],
    allowed: Bool[Array, "B L"],
    segments: Int[Array, "B L"],
    rate: float,
) -> Bool[Array, "B L"]:
    def choose(num_segments: int) -> Array:
        counts = ops.exact_counts(ops.segment_counts(allowed, segments, num_segments), rate)
        return ops.smallest_in_segments(draws, offsets, allowed, segments, counts)

    length = segments.shape[1]
    if length <= _FEW_SEGMENTS:
        return choose(length)
    is_few = jnp.max(segments, initial=0) <= _FEW_SEGMENTS
    return jax.lax.cond(is_few, partial(choose, _FEW_SEGMENTS), partial(choose, length))
