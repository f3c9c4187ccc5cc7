"""The targets of causal models in packed rows: the next token of the same segment."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxlm.typing import Array, Bool, Int


class NextTokenTargets(NamedTuple):
    """The targets of a causal language model, at the positions that predict them.

    Attributes:
      targets: `Int[B L]`, at position t the token id at t + 1; 0 where nothing is predicted.
      loss_mask: `Bool[B L]`, True = counts in the loss: the next position belongs to the same segment and is
        not padding.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import NextTokenTargets
      >>> pairs = NextTokenTargets(jnp.array([[6, 7, 0]]), loss_mask=jnp.array([[True, True, False]]))
      >>> pairs.targets[pairs.loss_mask].tolist()  # what is predicted of the tokens [5, 6, 7]
      [6, 7]
    """

    targets: Int[Array, "B L"]
    loss_mask: Bool[Array, "B L"]


def next_token_targets(tokens: Int[Array, "B L"], segments: Int[Array, "B L"]) -> NextTokenTargets:
    """Returns each position's next token, and a mask of the positions that have one.

    A segment is one of the texts that are packed into a row. No target crosses from a segment into the next
    one; the last position of a segment and padding do not count. A segment of n tokens has n - 1 targets: all
    its tokens but the first.

    Args:
      tokens: `Int[B L]` token ids.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous.

    Returns:
      `NextTokenTargets`: the targets and their mask, `[B L]` each.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import next_token_targets
      >>> pairs = next_token_targets(jnp.array([[7, 8, 9, 5, 6, 0]]), jnp.array([[1, 1, 1, 2, 2, 0]]))
      >>> pairs.targets.tolist()
      [[8, 9, 0, 6, 0, 0]]
      >>> pairs.loss_mask.tolist()
      [[True, True, False, True, False, False]]
    """
    loss_mask = predicted_mask(segments)
    # The position before a predicted token is the one that predicts it.
    ahead = jnp.pad(loss_mask[:, 1:], ((0, 0), (0, 1)))
    following = jnp.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    return NextTokenTargets(jnp.where(ahead, following, 0), ahead)


def predicted_mask(segments: Int[Array, "B L"]) -> Bool[Array, "B L"]:
    """Returns which tokens a causal model predicts: all but the first of each segment, and no padding.

    It marks the tokens that are predicted. The `loss_mask` of `next_token_targets` marks the positions that
    predict these tokens, each one position earlier.

    Args:
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous.

    Returns:
      `Bool[B L]`, True = there is an earlier token in the same segment.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import predicted_mask
      >>> predicted_mask(jnp.array([[1, 1, 1, 2, 2, 0]])).tolist()
      [[False, True, True, False, True, False]]
    """
    same = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return jnp.pad(same, ((0, 0), (1, 0)))
