"""Pooling of packed rows to one vector a segment: mean, first or last position, softmax-weighted sum.

Letters: `B` rows, `L` positions, `G` segments of a row, `D` width.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlm.ops._products import product
from jaxlm.typing import Array, Bool, Float, Int


class SegmentStarts(NamedTuple):
    """The first positions of segments, the texts that are packed into a row; column g - 1 is segment g.

    Attributes:
      positions: `Int[B G]` index in its row of the segment's first position; 0 where the row has no segment
        of this number.
      present: `Bool[B G]`, True where the row has a segment of this number.
    """

    positions: Int[Array, "B G"]
    present: Bool[Array, "B G"]


def segment_starts(segments: Int[Array, "B L"], num_segments: int) -> SegmentStarts:
    """Returns the first position of each segment, and a mask of the segments that exist.

    Args:
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Segments with higher ids are left
        out.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import segment_starts
      >>> starts = segment_starts(jnp.array([[1, 1, 2, 0]]), num_segments=3)
      >>> starts.positions.tolist(), starts.present.tolist()
      ([[0, 2, 0]], [[True, True, False]])
    """
    members = segment_members(segments, num_segments)
    return SegmentStarts(jnp.argmax(members, axis=-1).astype(jnp.int32), members.any(-1))


def segment_members(segments: Int[Array, "B L"], num_segments: int) -> Bool[Array, "B G L"]:
    """Returns which positions belong to each segment, `Bool[B G L]`; padding belongs to no segment.

    Args:
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Segments with higher ids are left
        out.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import segment_members
      >>> segment_members(jnp.array([[1, 2, 0]]), num_segments=2).astype(int).tolist()
      [[[1, 0, 0], [0, 1, 0]]]
    """
    names = jnp.arange(1, num_segments + 1, dtype=segments.dtype)
    return segments[:, None, :] == names[None, :, None]


def pool_mean(
    hidden: Float[Array, "B L D"], segments: Int[Array, "B L"], num_segments: int
) -> Float[Array, "B G D"]:
    """Returns the mean of each segment's vectors, in float32.

    Args:
      hidden: `Float[B L D]`; values at padding do not count, even if they are NaN.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Segments with higher ids are left
        out.

    Returns:
      `Float32[B G D]`; column g - 1 is segment g, zeros where the row has no segment g.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import pool_mean
      >>> hidden = jnp.array([[[2.0], [4.0], [8.0], [jnp.nan]]])
      >>> pool_mean(hidden, jnp.array([[1, 1, 2, 0]]), num_segments=3).tolist()
      [[[3.0], [8.0], [0.0]]]
    """
    members = segment_members(segments, num_segments).astype(jnp.float32)
    shares = members / jnp.maximum(members.sum(-1, keepdims=True), 1.0)
    return _weighted(shares, hidden, segments)


def pool_softmax(
    hidden: Float[Array, "B L D"],
    scores: Float[Array, "B L"],
    segments: Int[Array, "B L"],
    num_segments: int,
) -> Float[Array, "B G D"]:
    """Returns the sum of each segment's vectors weighted by the softmax of its scores, in float32.

    Args:
      hidden: `Float[B L D]`; values at padding do not count, even if they are NaN.
      scores: `Float[B L]`; the softmax is over the positions of a segment.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Segments with higher ids are left
        out.

    Returns:
      `Float32[B G D]`; column g - 1 is segment g, zeros where the row has no segment g.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import pool_softmax
      >>> hidden, scores = jnp.array([[[1.0], [2.0], [4.0]]]), jnp.array([[0.0, 0.0, 9.0]])
      >>> pool_softmax(hidden, scores, jnp.array([[1, 1, 2]]), num_segments=2).tolist()
      [[[1.5], [4.0]]]
    """
    members = segment_members(segments, num_segments)
    counted = jnp.where(members, scores.astype(jnp.float32)[:, None, :], -jnp.inf)
    highest = jax.lax.stop_gradient(counted.max(-1, keepdims=True))
    # The maximum of an absent segment is -inf; a finite number in its place keeps NaN out of the gradient.
    highest = jnp.where(jnp.isfinite(highest), highest, 0.0)
    shares = jnp.exp(counted - highest)
    total = shares.sum(-1, keepdims=True)
    return _weighted(shares / jnp.where(total > 0.0, total, 1.0), hidden, segments)


def pool_first(
    hidden: Float[Array, "B L D"], segments: Int[Array, "B L"], num_segments: int
) -> Float[Array, "B G D"]:
    """Returns the vector at each segment's first position ([CLS] in BERT), in float32.

    Args:
      hidden: `Float[B L D]`.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Segments with higher ids are left
        out.

    Returns:
      `Float32[B G D]`; column g - 1 is segment g, zeros where the row has no segment g.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import pool_first
      >>> pool_first(jnp.array([[[2.0], [4.0], [8.0]]]), jnp.array([[1, 1, 2]]), num_segments=3).tolist()
      [[[2.0], [8.0], [0.0]]]
    """
    starts = segment_starts(segments, num_segments)
    chosen = jnp.take_along_axis(hidden.astype(jnp.float32), starts.positions[..., None], axis=1)
    return jnp.where(starts.present[..., None], chosen, 0.0)


def pool_last(
    hidden: Float[Array, "B L D"], segments: Int[Array, "B L"], num_segments: int
) -> Float[Array, "B G D"]:
    """Returns the vector at each segment's last position, in float32.

    Args:
      hidden: `Float[B L D]`.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Segments with higher ids are left
        out.

    Returns:
      `Float32[B G D]`; column g - 1 is segment g, zeros where the row has no segment g.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import pool_last
      >>> hidden = jnp.array([[[2.0], [4.0], [8.0], [1.0]]])
      >>> pool_last(hidden, jnp.array([[1, 1, 2, 0]]), num_segments=3).tolist()
      [[[4.0], [8.0], [0.0]]]
    """
    members = segment_members(segments, num_segments)
    last = members.shape[-1] - 1 - jnp.argmax(members[..., ::-1], axis=-1)
    chosen = jnp.take_along_axis(hidden.astype(jnp.float32), last[..., None], axis=1)
    return jnp.where(members.any(-1)[..., None], chosen, 0.0)


def _weighted(shares: Array, hidden: Array, segments: Array) -> Array:
    """Returns `shares @ hidden` for each row, with zeros at padding, as 0 times NaN would be NaN."""
    hidden = jnp.where((segments > 0)[..., None], hidden, jnp.zeros_like(hidden))
    return product(shares, hidden.astype(jnp.float32), 2, 1, num_batch_axes=1)
