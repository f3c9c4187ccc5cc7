"""Which tokens of a distribution are looked at: the likeliest ones, by their number or their probability.

As inseq defines them. A token goes by top-p if it and all less likely ones hold at most `1 - top_p`
together; of equally likely tokens the one of the lower id is counted as the less likely.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int


def check_filter(vocab_size: int, top_k: int, top_p: float, min_tokens_to_keep: int) -> None:
    """Refuses numbers that no filter has.

    Args:
      vocab_size: V.
      top_k: 0 .. V.
      top_p: in [0, 1].
      min_tokens_to_keep: 1 .. V.

    Raises:
      UsageError: naming the first one that is out of its range.

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
    """Refuses what is no probability.

    Raises:
      UsageError: if it is outside [0, 1], or no number.

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
    """Returns how many tokens top-p keeps, one at least.

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
      logits: `Float[... V]`; where all are -inf, all are kept.
      top_k: how many; 0: all. Those equal to the last one of them stay, too.
      top_p: in [0, 1]; 1: all.
      min_tokens_to_keep: how many stay at least.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps._filters import filter_mask
      >>> filter_mask(jnp.array([15.0, 14.0, 13.0, 12.0, 12.0]), 2, 1.0, 1).tolist()
      [True, True, False, False, False]
    """
    logits = logits.astype(jnp.float32)
    kept = jnp.ones(logits.shape, bool)
    if top_p < 1:
        order = jnp.argsort(logits, axis=-1)
        ascending = jnp.take_along_axis(logits, order, axis=-1)
        ranks = jnp.argsort(order, axis=-1)
        kept = jnp.take_along_axis(_stays(ascending, top_p, min_tokens_to_keep), ranks, axis=-1)
    if top_k:
        remaining = jnp.where(kept, logits, -jnp.inf)
        smallest = jax.lax.top_k(remaining, max(top_k, min_tokens_to_keep))[0][..., -1:]
        kept = kept & (remaining >= smallest)
    return kept | (logits == -jnp.inf).all(-1, keepdims=True)


def _stays(ascending: Float[Array, "*batch V"], top_p: float, least: int) -> Bool[Array, "*batch V"]:
    """Which of the tokens, less likely ones first, top-p keeps."""
    mass = jnp.cumsum(jax.nn.softmax(ascending, axis=-1), axis=-1)
    places = jax.lax.broadcasted_iota(jnp.int32, ascending.shape, ascending.ndim - 1)
    return (mass > np.float32(1 - top_p)) | (places >= ascending.shape[-1] - least)


def _is_whole(value: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
