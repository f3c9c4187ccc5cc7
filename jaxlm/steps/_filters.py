"""Filters that keep the likeliest tokens of a distribution, by their number or by their probability.

The definitions are inseq's. Top-p removes a token if it and all less likely ones have at most the probability
`1 - top_p` together; of equally likely tokens the one with the lower id counts as less likely.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int


def check_filter(vocab_size: int, top_k: int, top_p: float, min_tokens_to_keep: int) -> None:
    """Checks the numbers of a filter.

    Args:
      vocab_size: V.
      top_k: 0 .. V.
      top_p: in [0, 1].
      min_tokens_to_keep: 1 .. V.

    Raises:
      UsageError: if one of them is out of its range; the message names the first one.

    Example:
      >>> from jaxlm.steps._filters import check_filter
      >>> check_filter(4, 5, 1.0, 1)
      Traceback (most recent call last):
      jaxlm.errors.UsageError: top_k is 0 (all) or a number of the vocabulary's 4 tokens: got 5
    """
    if not _is_whole(top_k) or not 0 <= top_k <= vocab_size:
        raise UsageError(f"top_k is 0 (all) or a number of the vocabulary's {vocab_size} tokens: got {top_k}")
    check_top_p(top_p)
    if not _is_whole(min_tokens_to_keep) or not 1 <= min_tokens_to_keep <= vocab_size:
        raise UsageError(f"min_tokens_to_keep is in 1 .. {vocab_size}: got {min_tokens_to_keep}")


def check_top_p(top_p: float) -> None:
    """Checks a probability.

    Raises:
      UsageError: if it is outside [0, 1], or not a number.

    Example:
      >>> from jaxlm.steps._filters import check_top_p
      >>> check_top_p(1.5)
      Traceback (most recent call last):
      jaxlm.errors.UsageError: top_p is a probability in [0, 1]: got 1.5
    """
    is_number = isinstance(top_p, (int, float, np.number)) and not isinstance(top_p, bool)
    if not is_number or not 0 <= top_p <= 1:
        raise UsageError(f"top_p is a probability in [0, 1]: got {top_p}")


def count_top_p(logits: Float[Array, "*batch V"], top_p: float) -> Int[Array, "*batch"]:
    """Returns how many tokens top-p keeps, at least one.

    Args:
      logits: `Float[... V]`.
      top_p: in [0, 1].

    Raises:
      UsageError: if `top_p` is outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps._filters import count_top_p
      >>> count_top_p(jnp.log(jnp.array([0.5, 0.3, 0.2])), 0.6).item()
      2
    """
    check_top_p(top_p)
    ascending = jnp.sort(logits.astype(jnp.float32), axis=-1)
    return _stays(ascending, top_p, 1).sum(-1, dtype=jnp.int32)


def filter_mask(
    logits: Float[Array, "*batch V"], top_k: int, top_p: float, min_tokens_to_keep: int
) -> Bool[Array, "*batch V"]:
    """Returns which tokens both filters keep, top-p first.

    Args:
      logits: `Float[... V]`; if all are -inf, all tokens are kept.
      top_k: how many tokens are kept, and those as likely as the last one; 0: all.
      top_p: in [0, 1]; 1: all.
      min_tokens_to_keep: the fewest tokens that are kept.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps._filters import filter_mask
      >>> filter_mask(jnp.array([15.0, 14.0, 13.0, 12.0, 12.0]), 2, 1.0, 1).tolist()
      [True, True, False, False, False]
    """
    logits = logits.astype(jnp.float32)
    is_kept = jnp.ones(logits.shape, bool)
    if top_p < 1:
        order = jnp.argsort(logits, axis=-1)
        ascending = jnp.take_along_axis(logits, order, axis=-1)
        ranks = jnp.argsort(order, axis=-1)
        is_kept = jnp.take_along_axis(_stays(ascending, top_p, min_tokens_to_keep), ranks, axis=-1)
    if top_k:
        remaining = jnp.where(is_kept, logits, -jnp.inf)
        smallest = jax.lax.top_k(remaining, max(top_k, min_tokens_to_keep))[0][..., -1:]
        is_kept = is_kept & (remaining >= smallest)
    return is_kept | (logits == -jnp.inf).all(-1, keepdims=True)


def _stays(ascending: Float[Array, "*batch V"], top_p: float, least: int) -> Bool[Array, "*batch V"]:
    """Which tokens top-p keeps; the tokens are in ascending order of their logits."""
    mass = jnp.cumsum(jax.nn.softmax(ascending, axis=-1), axis=-1)
    ranks = jax.lax.broadcasted_iota(jnp.int32, ascending.shape, ascending.ndim - 1)
    return (mass > np.float32(1 - top_p)) | (ranks >= ascending.shape[-1] - least)


def _is_whole(value: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
