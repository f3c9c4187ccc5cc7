"""Attention fused by cuDNN: where its limits hold, and what is said where they do not."""

import functools
import logging

import jax
import jax.numpy as jnp

from jaxlm.devices import Target, current_target
from jaxlm.ops._derivatives import forward_mode_requested
from jaxlm.typing import Array

_LOG = logging.getLogger(__name__)
_SHORT_NAMES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "float64": "f64"}
# By the compute capability from which on it holds.
_WIDEST_HEADS = ((9, 256), (8, 128))


def fused_attention(
    query: Array, key: Array, value: Array, mask: Array | None, scale: float, *, is_causal: bool = False
) -> Array:
    """Returns cuDNN's attention `[B L N H]`; rows that may attend to nothing give zeros and no gradient.

    Causality is told by a mask, or without one by `is_causal`: a mask is read and written as numbers, which
    took 1.70 ms a layer of 32 x 1,024 on an H200, forward and backward, where causality alone took 0.95.
    """
    options = {"scale": scale, "implementation": "cudnn"}
    if mask is None:
        return jax.nn.dot_product_attention(query, key, value, is_causal=is_causal, **options)
    # cuDNN takes no row of a mask for all queries.
    mask = jnp.broadcast_to(mask, (*mask.shape[:2], query.shape[1], key.shape[1]))
    outputs = jax.nn.dot_product_attention(query, key, value, mask=mask, **options)
    # cuDNN spreads an empty row over every key; cutting it here cuts its gradient too.
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
    """Returns why cuDNN cannot do this attention, decided when it is traced; None where it can.

    Example:
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
        (has_bias, "the gradient of a bias is not cuDNN's"),
        (dropout_rate > 0.0, "cuDNN's dropout of probabilities is not keyed"),
        (needs_probs, "cuDNN does not return probabilities"),
        (
            forward_mode_requested(),
            'cuDNN has no forward-mode derivatives, for which derivatives("any") asks',
        ),
    )
    return next((reason for holds, reason in obstacles if holds), None)


@functools.cache
def log_choice(shape: tuple[int, ...], dtype: str, reason: str | None) -> None:
    """Logs which attention a shape gets, once a shape: `attention [8,512,12,64] bf16: xla, because ...`."""
    chosen = "cudnn" if reason is None else f"xla, because {reason}"
    _LOG.info("attention [%s] %s: %s", ",".join(map(str, shape)), _SHORT_NAMES.get(dtype, dtype), chosen)


def _widest_head(target: Target) -> int:
    """How wide the heads of cuDNN's attention may be on a GPU; 0 where it has none."""
    known = 0 if target.capability is None else target.capability[0]
    return next((width for lowest, width in _WIDEST_HEADS if known >= lowest), 0)
