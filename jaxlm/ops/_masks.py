"""Attention masks from segments, causality and a window."""

import jax.numpy as jnp

from jaxlm.typing import Array, Bool, Int


def attention_mask(
    segments: Int[Array, "B L"], *, causal: bool = False, window: int | None = None
) -> Bool[Array, "B 1 L L"]:
    """Returns which positions may attend to which in packed rows.

    A query attends to keys of its own segment; if `causal`, not to later keys; with a `window`, only to keys
    with `|query - key| < window`. So a causal window covers `window` positions, including the query's own,
    and a bidirectional window covers `2 * window - 1`. Padding (segment 0) attends to nothing, and nothing
    attends to padding.

    Args:
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous.
      causal: whether later positions are hidden.
      window: how far attention reaches, in positions; None: there is no limit.

    Returns:
      `Bool[B 1 L L]`, queries before keys, True = may attend. A padding query's row is all False.

    Raises:
      ValueError: if `window` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import attention_mask
      >>> attention_mask(jnp.array([[1, 1, 2, 0]]), causal=True)[0, 0].astype(int)
      Array([[1, 0, 0, 0],
             [1, 1, 0, 0],
             [0, 0, 1, 0],
             [0, 0, 0, 0]], dtype=int32)

    References:
      Beltagy et al., "Longformer", 2020, https://arxiv.org/abs/2004.05150 (section 3.1, the sliding window).
    """
    if window is not None and window < 1:
        raise ValueError(
            f"an attention window reaches at least the position itself: got window={window}, use 1 or more"
        )
    queries, keys = segments[:, :, None], segments[:, None, :]
    mask = (queries == keys) & (queries > 0)
    columns = jnp.arange(segments.shape[1], dtype=jnp.int32)
    distance = columns[None, :, None] - columns[None, None, :]
    if causal:
        mask &= distance >= 0
    if window is not None:
        mask &= jnp.abs(distance) < window
    return mask[:, None]
