"""Scaled dot-product attention with grouped heads, masks, soft cap and dropout.

Letters: `B` batch, `L` queries, `S` keys, `N` query heads, `K` key/value heads, `G = N / K`, `H` head width.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from jaxlm.devices import current_target
from jaxlm.errors import ConfigError
from jaxlm.ops._dense_attention import Settings, attention_probs, dense_attention, weighted_values
from jaxlm.ops._derivatives import forward_mode_hint, forward_mode_requested
from jaxlm.ops._fused_attention import fused_attention, log_choice, reason_not_fused
from jaxlm.ops._noise import key_words
from jaxlm.typing import Array, Bool, Float, Key

Implementation = Literal["auto", "xla", "cudnn"]
# Causal attention over rows of at least LONG positions is computed in NUM_PARTS blocks of queries, each over
# the keys up to its end: half of the scores are hidden anyway.
LONG, NUM_PARTS = 512, 4


def attention(
    query: Float[Array, "B L N H"],
    key: Float[Array, "B S K H"],
    value: Float[Array, "B S K H"],
    *,
    mask: Bool[Array, " B #N #L S"] | None = None,
    bias: Float[Array, " #B #N L S"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    softcap: float | None = None,
    dropout_rate: float = 0.0,
    dropout_rng: Key[Array, ""] | None = None,
    implementation: Implementation = "auto",
    require_fused: bool = False,
    change_probs: Callable[[Float[Array, "B N L S"]], Float[Array, "B N L S"]] | None = None,
) -> Float[Array, "B L N H"]:
    """Returns `softmax(scale * query key^T + bias) value`, each query over the keys it may attend to.

    Query head `n` reads key/value head `n // (N / K)`. With a soft cap `c` the scores are `c tanh(scores /
    c)`, before the bias is added. Scores and softmax are float32. A query that may attend to nothing gets
    exact zeros, and so do its gradients.

    Args:
      query: `Float[B L N H]`, queries of L positions in N heads.
      key: `Float[B S K H]`, keys of S positions in K heads, where `K` divides `N`.
      value: `Float[B S K H]`, values of the same positions and heads.
      mask: `Bool[B 1|N 1|L S]`, True = may attend; None: every query may attend to every key.
      bias: `Float[B|1 N|1 L S]`, added to the scores; None: nothing is added.
      is_causal: whether each query attends only to keys up to its own position, with S equal to L. With a
        mask, the mask must already hide the later keys; this flag then only saves the computation of their
        scores. Without a mask, this flag hides the later keys, which cuDNN does without reading a mask.
      scale: factor of the scores; None: `1 / sqrt(H)`.
      softcap: bound `c` of the scores; None: the scores have no bound.
      dropout_rate: probability that an attention probability is zeroed.
      dropout_rng: PRNG key, needed where `dropout_rate > 0`; use it for no other draw.
      implementation: "xla"; "cudnn", fused attention on NVIDIA GPUs; or "auto": "cudnn" on a GPU whose limits
        the call fulfils, else "xla". With `derivatives("any")` all three mean "xla".
      require_fused: whether an error is raised if the fused implementation cannot be used.
      change_probs: a function from the float32 probabilities `Float[B N L S]`, before dropout, to the
        probabilities that weigh the values; to look at them only, return them unchanged. None: the
        probabilities are not changed, and attention may be fused.

    Returns:
      `Float[B L N H]` in the query's dtype.

    Raises:
      ValueError: if K does not divide N, a dropout key is missing, or `require_fused` contradicts "xla".
      ConfigError: if the fused implementation is required and cannot be used.

    Example:
      >>> from jaxlm.ops import attention
      >>> import jax.numpy as jnp
      >>> query, key = jnp.zeros((1, 1, 1, 2)), jnp.zeros((1, 2, 1, 2))
      >>> attention(query, key, jnp.arange(4.0).reshape(1, 2, 1, 2)).tolist()
      [[[[1.0, 2.0]]]]

    References:
      Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762 (section 3.2).
      Ainslie et al., "GQA", 2023, https://arxiv.org/abs/2305.13245.
    """
    if query.shape[2] % key.shape[2]:
        raise ValueError(
            f"key/value heads divide the query heads, got {key.shape[2]} and {query.shape[2]} of them"
        )
    if dropout_rate and dropout_rng is None:
        raise ValueError(f"attention with dropout_rate={dropout_rate} needs dropout_rng")
    if implementation == "xla" and require_fused:
        raise ValueError('attention: require_fused contradicts implementation="xla"; drop one of them')
    factor = float(query.shape[-1] ** -0.5 if scale is None else scale)
    rate = float(dropout_rate)
    if implementation != "xla":
        reason = reason_not_fused(
            query,
            key,
            softcap=softcap,
            dropout_rate=rate,
            needs_probs=change_probs is not None,
            has_bias=bias is not None,
        )
        log_choice(query.shape, query.dtype.name, reason)
        if reason is None:
            with forward_mode_hint():
                return fused_attention(query, key, value, mask, factor, is_causal=is_causal)
        if require_fused or (implementation == "cudnn" and not forward_mode_requested()):
            raise ConfigError(
                f"attention {list(query.shape)} {query.dtype} cannot be fused: {reason}; "
                "change that, or allow implementation 'xla' without require_fused"
            )
    if is_causal and mask is None:
        mask = jnp.tril(jnp.ones((1, 1, query.shape[1], key.shape[1]), bool))
    words = key_words(dropout_rng) if rate and dropout_rng is not None else None
    settings = Settings(factor, softcap, rate)
    if change_probs is not None:
        probs = change_probs(attention_probs(query, key, mask, bias, settings))
        return weighted_values(probs, value, words, settings)
    # On a CPU only: an accelerator is faster with one large product than with four of half the work.
    if is_causal and not rate and query.shape[1] >= LONG and current_target().platform == "cpu":
        return _causal_in_parts(query, key, value, mask, bias, settings)
    return dense_attention(query, key, value, mask, bias, words, settings)


def _causal_in_parts(query, key, value, mask, bias, settings: Settings) -> Array:
    """Attention of consecutive queries over the keys up to the last of them, part by part."""

    def rows(array: Array | None, start: int, end: int) -> Array | None:
        if array is None:
            return None
        # A mask or bias of one row holds for every query, so for the queries of each part too.
        return array[..., :end] if array.shape[2] == 1 else array[:, :, start:end, :end]

    length = query.shape[1]
    size = -(-length // NUM_PARTS)
    outputs = []
    for start in range(0, length, size):
        end = min(start + size, length)
        part = query[:, start:end], key[:, :end], value[:, :end]
        seen = rows(mask, start, end), rows(bias, start, end)
        outputs.append(dense_attention(*part, *seen, None, settings))
    return jnp.concatenate(outputs, axis=1)
