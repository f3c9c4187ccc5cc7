"""Sums, counts and ranks within the segments of packed rows."""

import jax.numpy as jnp

from jaxlm.typing import Array, Bool, Int, Num


def segment_slots(segments: Int[Array, "B L"], num_segments: int) -> Int[Array, "B L"]:
    """Returns the index of each position's segment in a flat table of B rows with 1 + `num_segments` slots.

    Slot 0 of a row is for positions without a segment: padding, and ids outside 1 .. `num_segments`.

    Args:
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the number of segments of a row that get a prediction; static.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops._segments import segment_slots
      >>> segment_slots(jnp.array([[1, 2, 0], [1, 1, 3]]), num_segments=2).tolist()
      [[1, 2, 0], [4, 4, 3]]
    """
    inside = (segments > 0) & (segments <= num_segments)
    rows = jnp.arange(segments.shape[0], dtype=segments.dtype)[:, None]
    return rows * (num_segments + 1) + jnp.where(inside, segments, 0)


def segment_sums(
    values: Num[Array, "B L"], segments: Int[Array, "B L"], num_segments: int
) -> Num[Array, "B {num_segments}"]:
    """Returns the sum of `values` over each segment of each row, in the values' dtype.

    Args:
      values: `Num[B L]`; values at padding do not count.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Positions of higher ids do not count.

    Returns:
      `Num[B G]`; column g - 1 is segment g, 0 where the row has no segment g.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import segment_sums
      >>> segment_sums(jnp.array([[1.0, 2.0, 4.0, 8.0]]), jnp.array([[1, 1, 2, 0]]), num_segments=3).tolist()
      [[3.0, 4.0, 0.0]]
    """
    rows = segments.shape[0]
    slots = segment_slots(segments, num_segments).reshape(-1)
    table = jnp.zeros(rows * (num_segments + 1), values.dtype).at[slots].add(values.reshape(-1))
    return table.reshape(rows, num_segments + 1)[:, 1:]


def segment_counts(
    mask: Bool[Array, "B L"], segments: Int[Array, "B L"], num_segments: int
) -> Int[Array, "B {num_segments}"]:
    """Returns how many positions of each segment are True in `mask`, `Int[B G]`.

    Args:
      mask: `Bool[B L]`, True = counts.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Positions of higher ids do not count.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import segment_counts
      >>> segment_counts(jnp.array([[True, False, True]]), jnp.array([[1, 1, 2]]), num_segments=2).tolist()
      [[1, 1]]
    """
    return segment_sums(mask.astype(jnp.int32), segments, num_segments)


def segment_ranks(mask: Bool[Array, "B L"], segments: Int[Array, "B L"]) -> Int[Array, "B L"]:
    """Returns for each True position how many True positions precede it in its segment; -1 elsewhere.

    Args:
      mask: `Bool[B L]`, True = counts.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1, in ascending order; 0 =
        padding, whose positions are ranked as if padding were a segment.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import segment_ranks
      >>> segment_ranks(jnp.array([[True, False, True, True]]), jnp.array([[1, 1, 1, 2]])).tolist()
      [[0, -1, 1, 0]]
    """
    before = jnp.cumsum(mask, axis=1, dtype=jnp.int32) - mask.astype(jnp.int32)
    starts = jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    # `before` never falls along a row: its running maximum over the starts is its value at the latest start.
    base = jnp.maximum.accumulate(jnp.where(starts, before, 0), axis=1)
    return jnp.where(mask, before - base, -1)
