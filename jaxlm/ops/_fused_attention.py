"""Attention fused by cuDNN: the kernel, its limits, and the log line that says which of them is not met."""

import functools
import logging

import jax
import jax.numpy as jnp

from jaxlm.devices import Target, current_target
from jaxlm.ops._derivatives import forward_mode_requested
from jaxlm.typing import Array

_LOG = logging.getLogger(__name__)
_SHORT_NAMES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "float64": "f64"}
# The widest head by compute capability: (lowest major version, features).
_WIDEST_HEADS = ((9, 256), (8, 128))


def fused_attention(
    query: Array, key: Array, value: Array, mask: Array | None, scale: float, *, is_causal: bool = False
) -> Array:
    """Returns cuDNN's attention `[B L N H]`; rows that may attend to nothing give zeros and no gradient.

    A causal mask may be given as `mask`, or as `is_causal` alone, which is faster: on an H200 a layer of
    32 x 1,024, forward and backward, took 1.70 ms with a mask, which is read and written as numbers, and
    0.95 ms with `is_causal`.

    Args:
      query: `Float[B L N H]`.
      key: `Float[B S K H]`.
      value: `Float[B S K H]`.
      mask: `Bool[B 1|N 1|L S]`, True = may attend; None for everything.
      scale: factor of the scores.
      is_causal: see `attention`; read where there is no mask.
    """
    options = {"scale": scale, "implementation": "cudnn"}
    if mask is None:
        return jax.nn.dot_product_attention(query, key, value, is_causal=is_causal, **options)
    # cuDNN does not broadcast a mask over queries.
    mask = jnp.broadcast_to(mask, (*mask.shape[:2], query.shape[1], key.shape[1]))
    outputs = jax.nn.dot_product_attention(query, key, value, mask=mask, **options)
    # cuDNN gives a query that may attend to nothing the mean of all values; zeroed here, it has no gradient.
    attends = mask.any(-1).swapaxes(1, 2)[..., None]
    return jnp.where(attends, outputs, jnp.zeros_like(outputs))


def reason_not_fused(
    query: Array,
    key: Array,
    *,
    softcap: float | None,
    dropout_rate: float,
    needs_probs: bool,
    has_bias: bool = False,
) -> str | None:
    """Returns why cuDNN cannot compute this attention, or None where it can; decided at trace time.

    Args:
      query: `[B L N H]`; its shape and dtype are read.
      key: `[B S K H]`; its length is read.
      softcap: bound of the scores, or None.
      dropout_rate: rate on the probabilities.
      needs_probs: whether the caller looks at the probabilities or changes them.
      has_bias: whether a bias is added to the scores.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops._fused_attention import reason_not_fused
      >>> query = jnp.zeros((1, 4, 2, 8))
      >>> reason_not_fused(query, query, softcap=None, dropout_rate=0.0, needs_probs=False)
      'the backend is cpu'
    """
    target = current_target()
    widest = _widest_head(target)
    head_width, lengths = query.shape[3], (query.shape[1], key.shape[1])
    obstacles = (
        (target.platform != "gpu", f"the backend is {target.platform}"),
        (widest == 0, "cuDNN needs an NVIDIA GPU from Ampere on"),
        (query.dtype not in (jnp.bfloat16, jnp.float16), f"cuDNN computes bf16 and f16, not {query.dtype}"),
        (head_width % 8 != 0, f"cuDNN needs a head width in eights, got {head_width}"),
        (head_width > widest, f"cuDNN's heads are at most {widest} wide on this GPU, got {head_width}"),
        (any(length % 2 for length in lengths), f"cuDNN needs even lengths, got {lengths}"),
        (softcap is not None, "cuDNN has no soft cap"),
        (has_bias, "cuDNN has no gradient of a bias"),
        (dropout_rate > 0.0, "cuDNN's dropout takes no JAX key"),
        (needs_probs, "cuDNN does not return probabilities"),
        (
            forward_mode_requested(),
            'cuDNN has no forward-mode derivatives, for which derivatives("any") asks',
        ),
    )
    return next((reason for holds, reason in obstacles if holds), None)


@functools.cache
def log_choice(shape: tuple[int, ...], dtype: str, reason: str | None) -> None:
    """Logs, once for each shape, which attention it gets: `attention [8,512,12,64] bf16: xla, because ...`.

    Args:
      shape: of the query.
      dtype: of the query.
      reason: why it is not fused; None: it is.
    """
    chosen = "cudnn" if reason is None else f"xla, because {reason}"
    _LOG.info("attention [%s] %s: %s", ",".join(map(str, shape)), _SHORT_NAMES.get(dtype, dtype), chosen)


def _widest_head(target: Target) -> int:
    """Returns the widest head that cuDNN's attention takes on a target; 0 where it has no such attention."""
    known = 0 if target.capability is None else target.capability[0]
    return next((width for lowest, width in _WIDEST_HEADS if known >= lowest), 0)
