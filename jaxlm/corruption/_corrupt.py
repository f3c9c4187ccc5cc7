"""Corruption of tokens: a share of each example's units is chosen, and a replacement is applied to them."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.corruption._choice import choose_units
from jaxlm.corruption._noise_config import CountMode
from jaxlm.corruption._shares import as_fractions, as_shares
from jaxlm.typing import AnyArray, Array, Bool, Float, Int, Key, UInt32

Replacement = Callable[..., AnyArray]
"""What chosen tokens become: a pure function of words `UInt32[B L]` and tokens `Int[B L]` to `Int[B L]`.

The word of each position is uniform and independent of the others. The function returns NumPy arrays for
NumPy arrays, so that host and device give the same tokens.
"""


class Corrupted(NamedTuple):
    """A corrupted batch: what the model reads and what it is to predict.

    Attributes:
      tokens: `Int[B L]`, the corrupted ids, which the model reads. This and the other arrays are JAX's, or
        NumPy's if the batch was corrupted on the host.
      targets: `Int[B L]`, the clean ids, at every position.
      loss_mask: `Bool[B L]`, True = counts in the loss: the positions that were chosen to be corrupted, even
        if their token stayed as it was.
      fractions: `Float32[B L]` in [0, 1], the corruption rate that was given or drawn for the example that
        the position belongs to; a row may hold several examples. 0 at padding.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import Corrupted
      >>> clean = jnp.array([[5, 6, 7, 0]])  # an example of three tokens, and padding
      >>> corrupted = Corrupted(
      ...     tokens=jnp.array([[4, 6, 7, 0]]),
      ...     targets=clean,
      ...     loss_mask=jnp.array([[True, False, True, False]]),  # 7 was chosen too, and was kept
      ...     fractions=jnp.array([[0.6, 0.6, 0.6, 0.0]]),
      ... )
      >>> corrupted.targets[corrupted.loss_mask].tolist()  # what is predicted
      [5, 7]
    """

    tokens: Array
    targets: Array
    loss_mask: Array
    fractions: Array


def corruptible(
    tokens: Int[Array, "B L"], segments: Int[Array, "B L"], forbidden: np.ndarray | Bool[Array, " V"]
) -> Bool[Array, "B L"]:
    """Returns which positions may be corrupted: all that are neither padding nor forbidden ids.

    Args:
      tokens: `Int[B L]` token ids.
      segments: `Int[B L]`, the number of each position's segment (text) in its row, from 1; 0 = padding.
      forbidden: `Bool[V]`, True = ids that are never chosen, such as special tokens.

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
    """Returns the batch with a share of each example's tokens (or words, instructions) replaced.

    An example is a text of the corpus; a unit is what is chosen as a whole: a token, a word or an
    instruction. The model is to predict the chosen units. What happens to a position is a function of (rng,
    epoch, example id, offset) and, for exact counts, of the draws of the rest of its segment. It does not
    depend on the batch size, the order of rows, the packing, the number of devices or where a run was
    resumed. Exact counts choose the units with the smallest draws of each segment, and of equal draws the
    unit with the lower offset. If packing divides an example, each piece is a segment of its own and has its
    own count. The function is pure and of static shapes: it works under jit, vmap, pmap and shard_map.

    Args:
      rng: PRNG key, the same one for the whole run; use it for no draws of your own.
      tokens: `Int[B L]` clean ids.
      allowed: `Bool[B L]`, True = may be corrupted (see `corruptible`). Padding is never corrupted.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.
      offsets: `Int[B L]`, the index of each position in its example, not negative.
      segments: `Int[B L]`, the number of each position's segment (text) in its row, from 1; 0 = padding.
      epochs: `Int[B]`, the epoch of each row.
      replacement: what chosen tokens become: `to_mask(id)`, `mixture(...)`, or any function
        `replacement(words, tokens)` from random `uint32` words and ids, one of each per position, to new ids.
      rate: the share of the allowed units to choose. A number holds for all positions; it is static and taken
        as the decimal that it prints as. An array gives the rate of each position's example, as a fraction or
        in units of 2^-32 (`draw_fractions`).
      count: "exact" chooses max(1, round-half-up(rate * n)) of a segment's n units, but none at a rate of 0;
        "bernoulli" chooses each unit independently with probability `rate`.
      starts: `Bool[B L]`, True where a unit begins; a unit also begins with every segment. A unit is chosen
        as a whole, by the draw of its first allowed position. None: every position is a unit.

    Returns:
      `Corrupted`: the new ids, the clean ids, the mask of chosen positions, and the rates.

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
