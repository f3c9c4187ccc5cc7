"""The compiled part of filling: the model, the head at the masks only, and which masks are settled in a pass.

`B` rows, `L` positions, `M` masks a row, `T` tokens reported at a mask, `V` vocabulary.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models
from jaxlm.typing import Array, Bool, Float, Int


class FilledMasks(NamedTuple):
    """What a fill found: the rows with no mask left, and what was likely at each mask when it was filled.

    Attributes:
      tokens: `Int[B L]` ids, masks replaced.
      top_ids: `Int[B M T]` the `T` likeliest ids at each mask, best first.
      top_log_probs: `Float[B M T]` their log-probabilities, float32 nats.
    """

    tokens: Array
    top_ids: Array
    top_log_probs: Array


def predict_masks(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    positions: Int[Array, "B M"],
    forbidden: Bool[Array, " V"],
    top_k: int,
) -> tuple[Float[Array, "B M T"], Int[Array, "B M T"]]:
    """Returns the likeliest tokens at the given positions, with forbidden ids at probability zero.

    The head runs on the `M` gathered positions, never on all `L`. Forbidden ids are taken out before
    normalising, so that the probabilities of the tokens that may be chosen sum to one.

    Args:
      model: a masked LM.
      params: its parameters.
      tokens: `Int[B L]` ids with masks.
      segments: `Int[B L]` 0 at padding.
      positions: `Int[B M]` where to predict.
      forbidden: `Bool[V]` True where an id may not be predicted.
      top_k: how many tokens to return at each position.

    Returns:
      `Float[B M T]` float32 log-probabilities in nats, best first, and `Int[B M T]` their ids.
    """
    hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments)).hidden
    at_masks = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    logits = model.apply({"params": params}, at_masks, method="logits")
    log_probs = jax.nn.log_softmax(jnp.where(forbidden[None, None], -jnp.inf, logits.astype(jnp.float32)))
    return tuple(jax.lax.top_k(log_probs, top_k))


@functools.partial(jax.jit, static_argnames=("model", "top_k", "method"))
def fill_masks(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    positions: Int[Array, "B M"],
    pending: Bool[Array, "B M"],
    forbidden: Bool[Array, " V"],
    num_passes: Int[Array, ""],
    *,
    top_k: int,
    method: str,
) -> FilledMasks:
    """Fills the pending masks in `num_passes` passes of the model.

    A parallel pass settles every pending mask with its likeliest token; an iterative pass settles, in each
    row, the one pending mask whose likeliest token is the most probable (the first of equals), and the next
    pass sees it.

    Args:
      model: a masked LM.
      params: its parameters.
      tokens: `Int[B L]` ids with masks.
      segments: `Int[B L]` 0 at padding.
      positions: `Int[B M]` offsets of the masks.
      pending: `Bool[B M]` True where `positions` is a mask to fill.
      forbidden: `Bool[V]` True where an id may not be predicted.
      num_passes: how often the model runs; a traced number, so that it costs no compilation.
      top_k: how many tokens to report at each mask.
      method: "parallel" or "iterative".

    Returns:
      `FilledMasks`; entries of masks that were never pending are zeros.
    """

    def settle(_: Array, carry: tuple[FilledMasks, Array]) -> tuple[FilledMasks, Array]:
        settled, pending = carry
        log_probs, ids = predict_masks(model, params, settled.tokens, segments, positions, forbidden, top_k)
        chosen = pending
        if method == "iterative":
            confidence = jnp.where(pending, log_probs[..., 0], -jnp.inf)
            best = jnp.argmax(confidence, axis=1)
            chosen = pending & (jnp.arange(pending.shape[1])[None] == best[:, None])
        # Filler entries share position 0 with a real token, so they are sent past the end, where a write is
        # dropped.
        target = jnp.where(chosen, positions, tokens.shape[1])
        rows = jnp.arange(tokens.shape[0])[:, None]
        filled = settled.tokens.at[rows, target].set(ids[..., 0].astype(tokens.dtype), mode="drop")
        top_ids = jnp.where(chosen[..., None], ids, settled.top_ids)
        top_log_probs = jnp.where(chosen[..., None], log_probs, settled.top_log_probs)
        return FilledMasks(filled, top_ids, top_log_probs), pending & ~chosen

    shape = (*positions.shape, top_k)
    start = FilledMasks(tokens, jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32))
    return jax.lax.fori_loop(0, num_passes, settle, (start, pending))[0]
