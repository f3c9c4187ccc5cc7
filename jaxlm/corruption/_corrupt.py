"""Corruption of tokens: where (a share of the units of each example) times what (a replacement)."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.corruption._choice import choose_units
from jaxlm.corruption._noise_config import CountMode
from jaxlm.corruption._shares import as_fractions, as_shares
from jaxlm.typing import Array, Bool, Float, Int, Key, UInt32

# What chosen tokens become: (words `UInt32[B L]`, tokens `Int[B L]`) -> `Int[B L]`. Pure; the word of a
# position is uniform and its own; NumPy arrays give NumPy arrays, so that host and device agree.
Replacement = Callable[..., Array | np.ndarray]


class Corrupted(NamedTuple):
    """A corrupted batch: what the model sees, what it is to predict, and where that counts.

    `tokens` `Int[B L]` corrupted ids; `targets` `Int[B L]` the clean ids, everywhere; `loss_mask` `Bool[B
    L]`, True = counts in the loss (chosen, even if the token was kept); `fractions` `Float32[B L]`, the
    share of its example that was meant to be chosen, 0 at padding.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import Corrupted
      >>> clean = jnp.array([[5, 6]])
      >>> corrupted = Corrupted(jnp.array([[4, 6]]), targets=clean, loss_mask=clean == 5, fractions=clean / 9)
      >>> corrupted.loss_mask.tolist()
      [[True, False]]
    """

    tokens: Array
    targets: Array
    loss_mask: Array
    fractions: Array


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
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm.corruption import corruptible
      >>> specials = np.arange(6) < 5
      >>> corruptible(jnp.array([[2, 5, 0]]), jnp.array([[1, 1, 0]]), specials).tolist()
      [[False, True, False]]
    """
    return (segments > 0) & ~jnp.asarray(forbidden)[tokens]


def corrupt(
    rng: Key[Array, ""],
    tokens: Int[Array, "B L"],
    allowed: Bool[Array, "B L"],
    *,
    example_ids: Int[Array, "B L"],
    offsets: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    epochs: Int[Array, " B"],
    replacement: Replacement,
    rate: float | UInt32[Array, "B L"] | Float[Array, "B L"],
    count: CountMode = "exact",
    starts: Bool[Array, "B L"] | None = None,
) -> Corrupted:
    """Returns the batch with a share of the units of each example replaced, to be predicted.

    A position's fate is a function of (rng, epoch, example id, offset) and, for exact counts, of the draws
    of the rest of its segment: the same at any batch size, order of rows, packing, number of devices and
    resume point. Exact counts choose the units of the smallest draws in each segment, equal draws in the
    order of their offsets. An example that packing split is a segment a piece, and each piece has its own
    count. Pure and static in its shapes: jit, vmap, pmap and shard_map it.

    Args:
      rng: PRNG key, consumed; the same for the whole run.
      tokens: `Int[B L]` clean ids.
      allowed: `Bool[B L]`, True = may be corrupted (see `corruptible`). Padding never is.
      example_ids: `Int[B L]`, the example that each position belongs to.
      offsets: `Int[B L]`, its offset in that example, not negative.
      segments: `Int[B L]`, a row's segments numbered 1 .. L, 0 = padding; an example's piece is a segment
        of its own.
      epochs: `Int[B]`, the epoch that each row is of.
      replacement: what becomes of a chosen token: `to_mask(id)`, `mixture(...)`, or any function of (words,
        tokens).
      rate: share of the allowed units to choose. A number holds for all (static, as the decimal that it
        prints as); an array gives each position its example's own, as a fraction or in units of 2^-32
        (`draw_fractions`).
      count: "exact" chooses max(1, round-half-up(rate * n)) of a segment's n units, none at a rate of 0;
        "bernoulli" chooses each independently.
      starts: `Bool[B L]`, True where a unit (word, instruction) begins. A unit is chosen whole, by the draw
        of its first allowed position. A segment begins one in any case. None: every position is a unit.

    Returns:
      `Corrupted`.

    Raises:
      ValueError: if `rate` is a number outside [0, 1].

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import corrupt, to_mask
      >>> tokens = jnp.arange(10, 30).reshape(1, 20)
      >>> where = dict(example_ids=tokens * 0, offsets=tokens - 10, segments=tokens // tokens)
      >>> corrupted = corrupt(
      ...     jax.random.key(0), tokens, tokens > 12, **where, epochs=jnp.array([0]),
      ...     replacement=to_mask(4), rate=0.15)
      >>> int((corrupted.tokens == 4).sum()), int(corrupted.loss_mask.sum())
      (3, 3)
    """
    words = ops.uniform_bits(rng, epochs, example_ids, offsets)
    allowed = allowed & (segments > 0)
    if isinstance(rate, (int, float)):
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate is a share in [0, 1]: got {rate}")
        rate, fractions = float(rate), jnp.full(tokens.shape, rate, jnp.float32)
    else:
        rate = as_shares(rate)
        fractions = as_fractions(rate)
    chosen = choose_units(words[..., 0], offsets, allowed, segments, starts, rate=rate, count=count)
    seen = jnp.where(chosen, replacement(words[..., 1], tokens), tokens)
    return Corrupted(seen, tokens, chosen, jnp.where(segments > 0, fractions, jnp.zeros_like(fractions)))
