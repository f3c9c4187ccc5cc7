"""Positions of tokens: offset in the segment, (instruction, argument) pairs, and lengths of segments."""

import jax
import jax.numpy as jnp

from jaxlm.typing import Array, Bool, Int


def positions_from_segments(segments: Int[Array, "B L"]) -> Int[Array, "B L"]:
    """Returns each token's index in its segment (one of the texts that are packed into a row), from 0.

    Args:
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous.

    Returns:
      `Int[B L]`; padding gets 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import positions_from_segments
      >>> positions_from_segments(jnp.array([[1, 1, 1, 2, 2, 0]]))
      Array([[0, 1, 2, 0, 1, 0]], dtype=int32)
    """
    offsets = _offset_since(_segment_starts(segments))
    return jnp.where(segments > 0, offsets, jnp.zeros_like(offsets))


def lengths_from_segments(
    positions: Int[Array, "B L"], segments: Int[Array, "B L"] | None
) -> Int[Array, "B L"]:
    """Returns the length of each token's segment: the highest position in it plus 1.

    Args:
      positions: `Int[B L]`, the index of each token in its segment, from 0.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. None: every
        row is one segment.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import lengths_from_segments, positions_from_segments
      >>> segments = jnp.array([[1, 1, 1, 2, 2, 0]])
      >>> lengths_from_segments(positions_from_segments(segments), segments)
      Array([[3, 3, 3, 2, 2, 1]], dtype=int32)
    """
    if segments is None:
        return jnp.broadcast_to(positions.max(1, keepdims=True) + 1, positions.shape)
    same = segments[:, :, None] == segments[:, None, :]
    return jnp.where(same, positions[:, None, :], 0).max(2) + 1


def instruction_positions(
    tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None, next_id: int
) -> Int[Array, "B L 2"]:
    """Returns for each token the index of its instruction and its index within that instruction.

    It is for texts that are disassembled code. An instruction ends with the token `next_id`, which belongs to
    it. The first index counts instructions from the start of the segment, the second one tokens from the
    start of the instruction; both start at 0.

    Args:
      tokens: `Int[B L]` token ids.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous. None: every row is one segment without padding.
      next_id: id of the token that ends an instruction.

    Returns:
      `Int[B L 2]`, (index of the instruction, index within it) along the last axis; padding gets (0, 0).

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import instruction_positions
      >>> indices = instruction_positions(jnp.array([[7, 8, 5, 9, 5, 7]]), None, next_id=5)
      >>> indices[0, :, 0], indices[0, :, 1]
      (Array([0, 0, 0, 1, 1, 2], dtype=int32), Array([0, 1, 2, 0, 1, 0], dtype=int32))
    """
    if segments is None:
        segments = jnp.ones_like(tokens)
    begins = _segment_starts(segments)
    follows_next = jnp.pad(tokens[:, :-1] == next_id, ((0, 0), (1, 0)))
    count = jnp.cumsum(follows_next.astype(jnp.int32), axis=1)
    # The count never falls, so its running maximum over segment starts is its value at the latest start.
    at_start = jax.lax.cummax(jnp.where(begins, count, jnp.zeros_like(count)), axis=1)
    indices = jnp.stack([count - at_start, _offset_since(begins | follows_next)], axis=-1)
    return jnp.where((segments > 0)[..., None], indices, jnp.zeros_like(indices))


def _segment_starts(segments: Int[Array, "B L"]) -> Bool[Array, "B L"]:
    return jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)), constant_values=True)


def _offset_since(starts: Bool[Array, "B L"]) -> Int[Array, "B L"]:
    columns = jnp.broadcast_to(jnp.arange(starts.shape[1], dtype=jnp.int32), starts.shape)
    return columns - jax.lax.cummax(jnp.where(starts, columns, jnp.zeros_like(columns)), axis=1)
