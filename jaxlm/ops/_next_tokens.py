"""What each position of packed rows is to predict: the token after it, in the same segment."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxlm.typing import Array, Bool, Int


class NextTokenTargets(NamedTuple):
    """The targets of a causal language model, where the predictions are.

    Attributes:
      targets: `Int[B L]`, at t the token at t + 1; 0 where nothing is predicted.
      loss_mask: `Bool[B L]`, True = counts: the next position is of the same segment, and no padding.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import NextTokenTargets
      >>> tokens = jnp.array([[5, 6]])
      >>> NextTokenTargets(targets=tokens, loss_mask=tokens == 5).loss_mask.tolist()
      [[True, False]]
    """

    targets: Int[Array, "B L"]
    loss_mask: Bool[Array, "B L"]


def next_token_targets(tokens: Int[Array, "B L"], segments: Int[Array, "B L"]) -> NextTokenTargets:
    """Returns each position's next token, and where there is one.

    No target crosses from a segment into the next one, the last position of a segment and padding count
    nowhere. A segment of n tokens has n - 1 predictions: its first token is predicted by nothing.

    Args:
      tokens: `Int[B L]` ids.
      segments: `Int[B L]`, ids from 1 in contiguous runs, 0 = padding.

    Returns:
      `NextTokenTargets`.

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
    # What a position predicts is what the next one is predicted from: one mask, shifted by one.
    ahead = jnp.pad(loss_mask[:, 1:], ((0, 0), (0, 1)))
    following = jnp.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    return NextTokenTargets(jnp.where(ahead, following, 0), ahead)


def predicted_mask(segments: Int[Array, "B L"]) -> Bool[Array, "B L"]:
    """Returns which tokens something predicts: all real ones but the first of each segment.

    `next_token_targets` marks the positions that predict; this marks the tokens that
    they predict, one further.

    Args:
      segments: `Int[B L]`, ids from 1 in contiguous runs, 0 = padding.

    Returns:
      `Bool[B L]`, True = has a token of its own segment before it.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import predicted_mask
      >>> predicted_mask(jnp.array([[1, 1, 1, 2, 2, 0]])).tolist()
      [[False, True, True, False, True, False]]
    """
    same = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return jnp.pad(same, ((0, 0), (1, 0)))
