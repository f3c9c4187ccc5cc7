"""The compiled part of filling: the model, its head at the masks only, and which masks a pass fills.

Letters: `B` rows, `L` positions, `M` masks of a row, `k` tokens reported at a mask, `V` vocabulary.
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
    """Rows whose masks have been filled, and the likeliest tokens of each mask in the pass that filled it.

    Attributes:
      tokens: `Int[B L]` ids, masks replaced.
      top_ids: `Int[B M k]` the `k` likeliest ids at each mask, best first.
      top_log_probs: `Float32[B M k]` their log-probs, nats.
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
) -> tuple[Float[Array, "B M k"], Int[Array, "B M k"]]:
    """Returns the likeliest tokens at the given positions, without forbidden ids.

    The head runs at the `M` gathered positions, not at all `L`. Forbidden ids are removed before normalising,
    so that the probabilities of the other tokens sum to one.

    Args:
      model: a masked LM.
      params: its parameters.
      tokens: `Int[B L]` ids with masks.
      segments: `Int[B L]` 0 at padding.
      positions: `Int[B M]` where to predict.
      forbidden: `Bool[V]` True where an id may not be predicted.
      top_k: k, how many tokens to return at each position.

    Returns:
      `Float32[B M k]` log-probs in nats, best first, and `Int[B M k]` their ids.
    """
    hidden = models.apply_model(model, params, models.Inputs(tokens=tokens, segments=segments)).hidden
    at_masks = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    logits = models.apply_head(model, params, at_masks)
    log_probs = jax.nn.log_softmax(jnp.where(forbidden[None, None], -jnp.inf, logits.astype(jnp.float32)))
    top_log_probs, top_ids = jax.lax.top_k(log_probs, top_k)
    return top_log_probs, top_ids


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

    A parallel pass fills every pending mask with its likeliest token. An iterative pass fills one pending
    mask of each row, the one whose likeliest token is the most probable (the first of equals), and the next
    pass reads that token.

    Args:
      model: a masked LM.
      params: its parameters.
      tokens: `Int[B L]` ids with masks.
      segments: `Int[B L]` 0 at padding.
      positions: `Int[B M]` offsets of the masks.
      pending: `Bool[B M]` True where `positions` is a mask to fill.
      forbidden: `Bool[V]` True where an id may not be predicted.
      num_passes: how often the model runs; a traced number, so that one program serves all.
      top_k: how many tokens to report at each mask.
      method: "parallel" or "iterative".

    Returns:
      `FilledMasks`; entries of masks that were never pending are zeros.
    """

    def fill_some(_: Array, carry: tuple[FilledMasks, Array]) -> tuple[FilledMasks, Array]:
        masks, pending = carry
        log_probs, ids = predict_masks(model, params, masks.tokens, segments, positions, forbidden, top_k)
        chosen = pending
        if method == "iterative":
            confidence = jnp.where(pending, log_probs[..., 0], -jnp.inf)
            best = jnp.argmax(confidence, axis=1)
            chosen = pending & (jnp.arange(pending.shape[1])[None] == best[:, None])
        # Unused entries have position 0, which holds a real token. They are moved past the end of the row,
        # where a write is dropped.
        target = jnp.where(chosen, positions, tokens.shape[1])
        rows = jnp.arange(tokens.shape[0])[:, None]
        filled = masks.tokens.at[rows, target].set(ids[..., 0].astype(tokens.dtype), mode="drop")
        top_ids = jnp.where(chosen[..., None], ids, masks.top_ids)
        top_log_probs = jnp.where(chosen[..., None], log_probs, masks.top_log_probs)
        return FilledMasks(filled, top_ids, top_log_probs), pending & ~chosen

    shape = (*positions.shape, top_k)
    start = FilledMasks(tokens, jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32))
    return jax.lax.fori_loop(0, num_passes, fill_some, (start, pending))[0]
