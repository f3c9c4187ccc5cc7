"""The static number M of masked positions of a device batch, its capacity, and the handling of a surplus."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from jaxlm.corruption._corrupt import Corrupted
from jaxlm.typing import Array, Bool, Int


class MaskedSlots(NamedTuple):
    """The masked positions of a batch in an array of a static size M, whose entries are called slots.

    Attributes:
      indices: `Int32[M]`, indices of masked positions among the B * L flattened positions, ascending; 0 in an
        unused slot.
      weights: `Float32[M]`, 1 = the slot holds a masked position, 0 = the slot is unused.
      overflow: `Int32[]`, how many masked positions found no slot, because there are more than M.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import MaskedSlots
      >>> slots = MaskedSlots(jnp.array([3, 0]), jnp.array([1.0, 0.0]), jnp.array(0))
      >>> slots.indices[slots.weights > 0].tolist()  # the masked positions
      [3]
    """

    indices: Array
    weights: Array
    overflow: Array


def gather_masked(loss_mask: Bool[Array, "B L"], capacity: int) -> MaskedSlots:
    """Returns the flat indices of the first `capacity` True positions, and counts those left out.

    Args:
      loss_mask: `Bool[B L]`, True = counts in the loss.
      capacity: M, the number of slots; static.

    Returns:
      `MaskedSlots`. Gather the hidden vectors with `hidden.reshape(-1, D)[slots.indices]`, and multiply the
      losses with `slots.weights`.

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
        raise ValueError(f"a batch needs a capacity of at least one masked position: got capacity={capacity}")
    mask = loss_mask.reshape(-1)
    numbers, total = _numbered(mask)
    positions = jnp.arange(mask.size, dtype=jnp.int32)
    # Unmasked positions get a slot past the end, where writes are dropped.
    slots = jnp.where(mask, numbers, capacity)
    indices = jnp.zeros(capacity, jnp.int32).at[slots].set(positions, mode="drop")
    used = jnp.arange(capacity, dtype=jnp.int32) < total
    return MaskedSlots(indices, used.astype(jnp.float32), jnp.maximum(total - capacity, 0))


def limit_masked(corrupted: Corrupted, capacity: int) -> tuple[Corrupted, Int[Array, ""]]:
    """Returns the batch with at most `capacity` masked positions, and how many others were restored.

    It is for noise that chooses each position independently (`count="bernoulli"`), so that the number of
    masked positions has no useful maximum. Masked positions after the first `capacity` of the batch get their
    clean token back and do not count in the loss.

    Args:
      corrupted: the batch, whose targets are the clean ids.
      capacity: M, the most masked positions that stay; static.

    Returns:
      The limited batch, and the number of restored positions, `Int32[]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import Corrupted, limit_masked
      >>> clean, rates = jnp.array([[5, 6, 7]]), jnp.full((1, 3), 0.7)
      >>> corrupted = Corrupted(clean * 0, targets=clean, loss_mask=clean > 5, fractions=rates)
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
    """Returns room for the masked positions of a Bernoulli batch: mean plus six standard deviations.

    In such a batch each position is masked independently. The capacity is rounded up to a multiple of 8.
    About one batch in 10^9 has more masked positions than that, and no batch if the capacity is
    `num_positions` or more.

    Args:
      num_positions: the number of positions of the batch, B * L.
      rate: the probability of each position to be masked, in [0, 1].

    Returns:
      A positive multiple of 8.

    Example:
      >>> from jaxlm.corruption import bernoulli_capacity
      >>> bernoulli_capacity(64 * 512, 0.15)
      5304
    """
    mean, deviation = num_positions * rate, math.sqrt(num_positions * rate * (1 - rate))
    capacity = min(math.ceil(mean + 6 * deviation), num_positions)
    return max(8, -(-capacity // 8) * 8)


def _numbered(mask: Bool[Array, " positions"]) -> tuple[Int[Array, " positions"], Int[Array, ""]]:
    """For each True position its number, counted from 0, and how many there are."""
    upto = jnp.cumsum(mask, dtype=jnp.int32)
    return upto - 1, upto[-1]
