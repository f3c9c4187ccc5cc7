"""Log-probabilities at chosen ids, computed in parts of the vocabulary with running sums.

Axis letters: M positions, D width, V vocabulary.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.ops._linear import linear
from jaxlm.ops._softcap import apply_softcap
from jaxlm.typing import Array, Float, Int

LOWEST = np.finfo(np.float32).min


def streamed_log_probs(
    features: Float[Array, "M D"],
    kernel: Float[Array, "V D"],
    bias: Float[Array, " V"] | None,
    targets: Int[Array, " M"],
    *,
    ids: int,
    softcap: float | None = None,
) -> Float[Array, " M"]:
    """Returns log p(target) in nats at each position, from the head's features and its output kernel.

    It is a variant of `token_log_probs` for scoring. It computes the logits of `ids` vocabulary entries at a
    time, few enough for a CPU's cache, so that it can process many positions at once and read the kernel only
    once. As in an online softmax, it carries the maximum logit and the sum of exponentials from one part of
    the vocabulary to the next.

    Args:
      features: `Float[M D]`, the features that are multiplied with the output kernel; the product has their
        dtype and accumulates in float32.
      kernel: `Float[V D]` output kernel.
      bias: `Float[V]`, added to the logits; None: nothing is added.
      targets: `Int[M]` ids in [0, V), one for each position; an id of V or more gives NaN.
      ids: how many vocabulary entries are computed at a time; it changes the result by rounding alone.
      softcap: the logits become `softcap * tanh(logits / softcap)`; None: they stay as they are.

    Returns:
      `Float32[M]`, 0 or less.

    Raises:
      ValueError: if `ids` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import streamed_log_probs
      >>> features, kernel = jnp.ones((3, 2)), jnp.zeros((4, 2))
      >>> log_probs = streamed_log_probs(features, kernel, None, jnp.array([0, 1, 3]), ids=3)
      >>> [round(value, 4) for value in log_probs.tolist()]
      [-1.3863, -1.3863, -1.3863]

    References:
      Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018,
      https://arxiv.org/abs/1805.02867.
    """
    if ids < 1:
        raise ValueError(f"a part of the vocabulary holds at least one id: got ids={ids}")
    num_ids, num = kernel.shape[0], features.shape[0]
    ids = min(ids, num_ids)

    def part(
        start: Array | int, size: int, carried: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        highest, total, chosen = carried
        logits = linear(lax.dynamic_slice_in_dim(kernel, start, size), features, preferred=jnp.float32)
        if bias is not None:
            logits = logits + lax.dynamic_slice_in_dim(bias, start, size).astype(jnp.float32)[:, None]
        logits = apply_softcap(logits, softcap)
        is_here = (targets >= start) & (targets < start + size)
        candidates = jnp.take_along_axis(logits, jnp.clip(targets - start, 0, size - 1)[None], axis=0)[0]
        higher = jnp.maximum(highest, logits.max(0))
        total = total * jnp.exp(highest - higher) + jnp.exp(logits - higher[None]).sum(0)
        return higher, total, jnp.where(is_here, candidates, chosen)

    carried = tuple(jnp.full(num, value, jnp.float32) for value in (LOWEST, 0.0, jnp.nan))
    num_parts, rest = divmod(num_ids, ids)
    carried = lax.fori_loop(0, num_parts, lambda number, carried: part(number * ids, ids, carried), carried)
    highest, total, chosen = part(num_ids - rest, rest, carried) if rest else carried
    return chosen - highest - jnp.log(total)
