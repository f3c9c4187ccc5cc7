"""Where a token stands: its offset in its segment, its instruction and argument, and rotary positions."""

import jax
import jax.numpy as jnp

from jaxlm.typing import Array, Bool, Float, Int


def positions_from_segments(segments: Int[Array, "B L"]) -> Int[Array, "B L"]:
    """Returns each token's offset within its segment, 0 where the segment begins.

    Args:
      segments: `Int[B L]` segment ids from 1, each segment contiguous; 0 is padding.

    Returns:
      `Int[B L]`; padding gets 0.

    Example:
      >>> positions_from_segments(jnp.array([[1, 1, 1, 2, 2, 0]]))
      Array([[0, 1, 2, 0, 1, 0]], dtype=int32)
    """
    offsets = _offset_since(_segment_starts(segments))
    return jnp.where(segments > 0, offsets, jnp.zeros_like(offsets))


def instruction_positions(
    tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None, next_id: int
) -> Int[Array, "B L 2"]:
    """Returns each token's instruction in its segment and its place in that instruction.

    An instruction ends with `next_id`, which belongs to it. The first index counts the instructions since the
    segment began, the second the tokens since the instruction began; both start at 0 in every segment.

    Args:
      tokens: `Int[B L]` ids.
      segments: `Int[B L]` segment ids from 1, each segment contiguous, 0 for padding; None: every row is one
        segment.
      next_id: the id of the token that ends an instruction.

    Returns:
      `Int[B L 2]`, (instruction, argument) along the last axis; padding gets (0, 0).

    Example:
      >>> indices = instruction_positions(jnp.array([[7, 8, 5, 9, 5, 7]]), None, next_id=5)
      >>> indices[0, :, 0], indices[0, :, 1]
      (Array([0, 0, 0, 1, 1, 2], dtype=int32), Array([0, 1, 2, 0, 1, 0], dtype=int32))
    """
    if segments is None:
        segments = jnp.ones_like(tokens)
    begins = _segment_starts(segments)
    follows_next = jnp.pad(tokens[:, :-1] == next_id, ((0, 0), (1, 0)))
    count = jnp.cumsum(follows_next.astype(jnp.int32), axis=1)
    # The count never falls, so the largest count at a start so far is the count where this segment began.
    at_start = jax.lax.cummax(jnp.where(begins, count, jnp.zeros_like(count)), axis=1)
    indices = jnp.stack([count - at_start, _offset_since(begins | follows_next)], axis=-1)
    return jnp.where((segments > 0)[..., None], indices, jnp.zeros_like(indices))


def rotary(
    inputs: Float[Array, "B L N H"], positions: Int[Array, "B L"], base: float = 10000.0
) -> Float[Array, "B L N H"]:
    """Rotates pairs of features by an angle that grows with the position.

    The pair (h, h + H/2) turns by `position * base ** (-2h / H)`, the layout of GPT-NeoX and Llama; the
    product of a rotated query with a rotated key then depends on the distance of their positions only. Angles
    are computed in float32.

    Args:
      inputs: `Float[B L N H]` queries or keys, H even.
      positions: `Int[B L]` offsets.
      base: the slowest turn's scale.

    Returns:
      `Float[B L N H]` in the dtype of `inputs`.

    Raises:
      ValueError: if H is odd.

    Example:
      >>> rotary(jnp.array([[[[1.0, 0.0]]]]), jnp.array([[1]])).round(4)  # (cos 1, sin 1)
      Array([[[[0.5403, 0.8415]]]], dtype=float32)

    References:
      Su et al., "RoFormer", 2021, https://arxiv.org/abs/2104.09864 (section 3.2).
    """
    head_width = inputs.shape[-1]
    if head_width % 2:
        raise ValueError(
            f"rotary positions turn pairs of features: got head width {head_width}, use an even one"
        )
    half = head_width // 2
    frequencies = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None, :]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = inputs[..., :half].astype(jnp.float32), inputs[..., half:].astype(jnp.float32)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(inputs.dtype)


def _segment_starts(segments: Int[Array, "B L"]) -> Bool[Array, "B L"]:
    return jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)), constant_values=True)


def _offset_since(starts: Bool[Array, "B L"]) -> Int[Array, "B L"]:
    places = jnp.broadcast_to(jnp.arange(starts.shape[1], dtype=jnp.int32), starts.shape)
    return places - jax.lax.cummax(jnp.where(starts, places, jnp.zeros_like(places)), axis=1)
