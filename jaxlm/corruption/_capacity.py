"""The static number K of masked positions that a device batch has room for, and what happens to the rest."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from jaxlm.corruption._corrupt import Corrupted
from jaxlm.typing import Array, Bool, Int


class MaskedSlots(NamedTuple):
    """Where a batch's masked positions are, in a static number K of slots.

    `indices` `Int32[K]` into the B * L flattened positions, ascending (0 in an unused slot); `weights`
    `Float32[K]`, 1 = a masked position, 0 = an unused slot; `overflow` `Int32[]`, how many masked positions
    found no slot.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import MaskedSlots
      >>> MaskedSlots(jnp.array([3, 0]), jnp.array([1.0, 0.0]), jnp.array(0)).indices.shape
      (2,)
    """

    indices: Array
    weights: Array
    overflow: Array


def gather_masked(loss_mask: Bool[Array, "B L"], capacity: int) -> MaskedSlots:
    """Returns the flat indices of the first `capacity` True positions, and counts those left out.

    Args:
      loss_mask: `Bool[B L]`, True = counts in the loss.
      capacity: K, static.

    Returns:
      `MaskedSlots`: gather with `hidden.reshape(-1, D)[slots.indices]` and weigh the losses with `slots.weights`.

    Raises:
      ValueError: if `capacity` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import gather_masked
      >>> slots = gather_masked(jnp.array([[False, True], [True, False]]), capacity=3)
      >>> slots.indices.tolist(), slots.weights.tolist(), int(slots.overflow)
      ([1, 2, 0], [1.0, 1.0, 0.0], 0)
    """
    if capacity < 1:
        raise ValueError(f"a batch needs room for at least one masked position: got capacity={capacity}")
    mask = loss_mask.reshape(-1)
    numbers, total = _numbered(mask)
    places = jnp.arange(mask.size, dtype=jnp.int32)
    # Unmasked positions aim past the end, where writes are dropped.
    indices = jnp.zeros(capacity, jnp.int32).at[jnp.where(mask, numbers, capacity)].set(places, mode="drop")
    used = jnp.arange(capacity, dtype=jnp.int32) < total
    return MaskedSlots(indices, used.astype(jnp.float32), jnp.maximum(total - capacity, 0))


def limit_masked(corrupted: Corrupted, capacity: int) -> tuple[Corrupted, Int[Array, ""]]:
    """Returns the batch with all but its first `capacity` masked positions as they were, and how many those
    are.

    For Bernoulli counts, whose number has no useful maximum: what is over the bound keeps its clean token
    and counts in no loss.

    Args:
      corrupted: the batch; its targets are the clean ids.
      capacity: K, static.

    Returns:
      The limited batch, and the `Int32[]` number of positions left unmasked.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import Corrupted, limit_masked
      >>> clean = jnp.array([[5, 6, 7]])
      >>> corrupted = Corrupted(clean * 0, targets=clean, loss_mask=clean > 5, fractions=clean / 9)
      >>> limited, overflow = limit_masked(corrupted, capacity=1)
      >>> limited.tokens.tolist(), limited.loss_mask.tolist(), int(overflow)
      ([[0, 0, 7]], [[False, True, False]], 1)
    """
    mask = corrupted.loss_mask.reshape(-1)
    numbers, total = _numbered(mask)
    is_over = (mask & (numbers >= capacity)).reshape(corrupted.loss_mask.shape)
    limited = corrupted._replace(
        tokens=jnp.where(is_over, corrupted.targets, corrupted.tokens),
        loss_mask=corrupted.loss_mask & ~is_over,
    )
    return limited, jnp.maximum(total - capacity, 0)


def bernoulli_capacity(num_positions: int, rate: float) -> int:
    """Returns room for the masked positions of a Bernoulli batch: six standard deviations over the mean, by
    eights.

    A batch overflows it about once in 10^9; never where it reaches `num_positions`.

    Args:
      num_positions: how many positions the batch has (B * L).
      rate: chance of each, in [0, 1].

    Returns:
      A positive multiple of 8.

    Example:
      >>> from jaxlm.corruption import bernoulli_capacity
      >>> bernoulli_capacity(64 * 512, 0.15)
      5304
    """
    mean, deviation = num_positions * rate, math.sqrt(num_positions * rate * (1 - rate))
    room = min(math.ceil(mean + 6 * deviation), num_positions)
    return max(8, -(-room // 8) * 8)


def _numbered(mask: Bool[Array, " P"]) -> tuple[Int[Array, " P"], Int[Array, ""]]:
    """For each True position how many stand before it, and how many there are."""
    upto = jnp.cumsum(mask, dtype=jnp.int32)
    return upto - 1, upto[-1]
