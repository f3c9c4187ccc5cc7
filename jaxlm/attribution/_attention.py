"""Attention weights as scores of the inputs: by layer and head, their means, and rollout over the layers.

Letters: `R` layers, `B` rows, `L` positions, `S` positions of an encoder's row, `N` heads, `M` positions at
which the model predicts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import models
from jaxlm.attribution._predictions import InputScores
from jaxlm.attribution._site_runs import (
    chosen,
    language_config,
    rows_at,
    unrolled,
)
from jaxlm.models import Site
from jaxlm.typing import Array, Float, Int


class HeadAttention(NamedTuple):
    """The attention probabilities of the positions at which a model predicts, by layer and head.

    Attributes:
      weights: `Float32[R B N M L]`. How much each head of each layer attends to each token of the row; for an
        encoder-decoder its decoder's self-attention. Rows sum to 1.
      source_weights: `Float32[R B N M S]`. The same for the attention of the decoder to the encoder's tokens;
        None for other models.
    """

    weights: Float[Array, "R B N M L"]
    source_weights: Float[Array, "R B N M S"] | None = None


def head_attention(
    model: nn.Module, params: Mapping[str, Any], inputs: models.Inputs, positions: Int[Array, "B M"]
) -> HeadAttention:
    """Returns the attention probabilities of every layer and head at the positions of predictions.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: what the model reads.
      positions: `Int[B M]`, the positions whose logits make the predictions: for a causal model the position
        before the predicted token, for a masked model the mask.

    Raises:
      UsageError: if the model is of another class.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import head_attention
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=2, num_heads=2, causal=True)
      >>> model, inputs = models.CausalLM(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> weights = head_attention(model, params, inputs, jnp.array([[1]])).weights
      >>> weights.shape, weights[0, 0, 0, 0].round(2).tolist()
      ((2, 1, 2, 1, 3), [0.5, 0.5, 0.0])
    """
    own, source = _probs_by_layer(model, params, inputs)
    weights = jnp.stack([_query_rows(probs, positions) for probs in own])
    if source is None:
        return HeadAttention(weights)
    return HeadAttention(weights, jnp.stack([_query_rows(probs, positions) for probs in source]))


def attention_weights(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    positions: Int[Array, "B M"],
    *,
    layers: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
) -> InputScores:
    """Returns the mean attention that each prediction's position pays to each input token.

    `score[j] = mean over layers r and heads n of A_rn[i, j]`, `i` the position of the prediction. The tokens
    of the decoder's row get its self-attention, and those of an encoder's row its attention to them; the
    scores of each of the two sum to 1.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: what the model reads.
      positions: `Int[B M]`, the positions whose logits make the predictions.
      layers: the number of a layer, or of several; negative ones count from the end. None: all.
      heads: likewise the heads.

    Raises:
      UsageError: if there is no such layer or head, or the model is of another class.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import attention_weights
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=2, num_heads=2, causal=True)
      >>> model, inputs = models.CausalLM(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> attention_weights(model, params, inputs, jnp.array([[1]]), layers=0).target.shape
      (1, 3, 1)
    """

    def mean(by_layer: Sequence[Array]) -> Array:
        numbers = chosen(layers, len(by_layer), "layers")
        rows = [_mean_of_heads(_query_rows(by_layer[number], positions), heads) for number in numbers]
        return (sum(rows[1:], start=rows[0]) / len(rows)).swapaxes(1, 2)

    own, source = _probs_by_layer(model, params, inputs)
    return InputScores(mean(own), None if source is None else mean(source))


def attention_rollout(
    model: nn.Module, params: Mapping[str, Any], inputs: models.Inputs, positions: Int[Array, "B M"]
) -> InputScores:
    """Returns how much of each input token reaches each prediction through the attention of all layers.

    `R = A'_last ... A'_1`, where `A' = (A + I) / 2` is a layer's attention, its heads averaged, with one half
    for the residual connection, and rows normalised to sum to 1. The scores of a prediction sum to 1.

    In an encoder-decoder the same rule holds for each attention of the decoder: what a position holds of the
    tokens of both rows is half its own, and half what it attends to, which for the attention to the encoder's
    output is the encoder's rollout. The scores of both rows together sum to 1.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: what the model reads.
      positions: `Int[B M]`, the positions whose logits make the predictions.

    Raises:
      UsageError: if the model is of another class.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import attention_rollout
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.CausalLM(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> attention_rollout(model, params, inputs, jnp.array([[1]])).target[0, :, 0].round(2).tolist()
      [0.25, 0.75, 0.0]

    References:
      Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, https://arxiv.org/abs/2005.00928.
    """
    own, source = _probs_by_layer(model, params, inputs)
    rolled = _identity_like(own[0])
    if source is None:
        for probs in own:
            rolled = _followed(probs, rolled)
        return InputScores(rows_at(rolled, positions).swapaxes(1, 2))
    encoded = _encoder_rollout(model, params, inputs)
    from_source = jnp.zeros((*rolled.shape[:2], encoded.shape[2]), rolled.dtype)
    for probs, cross in zip(own, source, strict=True):
        rolled, from_source = _followed(probs, rolled), _followed(probs, from_source)
        read = cross.mean(1)
        # A position of padding attends to nothing, and keeps what it holds.
        share = read.sum(-1, keepdims=True)
        rolled = rolled / (1.0 + share)
        from_source = (from_source + read @ encoded) / (1.0 + share)
    return InputScores(
        rows_at(rolled, positions).swapaxes(1, 2), rows_at(from_source, positions).swapaxes(1, 2)
    )


def _probs_by_layer(
    model: nn.Module, params: Mapping[str, Any], inputs: models.Inputs
) -> tuple[list[Array], list[Array] | None]:
    """The probabilities `[B N L S]` of each layer: of self-attention, and of the attention to an encoder."""
    config = language_config(model)
    model, params = unrolled(model, params)
    sites = [Site.ATTENTION_PROBS] + ([] if config.decoder is None else [Site.CROSS_ATTENTION_PROBS])
    values = models.apply_model(model, params, inputs, intermediates=sites).intermediates
    by_site = [list(values[site]) for site in sites]
    return by_site[0], by_site[1] if len(by_site) > 1 else None


def _encoder_rollout(
    model: nn.Module, params: Mapping[str, Any], inputs: models.Inputs
) -> Float[Array, "B S S"]:
    model, params = unrolled(model, params)
    site = Site.ENCODER_ATTENTION_PROBS
    layers = models.apply_model(model, params, inputs, intermediates=[site]).intermediates[site]
    rolled = _identity_like(layers[0])
    for probs in layers:
        rolled = _followed(probs, rolled)
    return rolled


def _followed(probs: Float[Array, "B N L S"], rolled: Float[Array, "B S M"]) -> Float[Array, "B L M"]:
    """One more layer: `normalised(A + I) @ rolled`."""
    mixed = probs.mean(1) + _identity_like(probs)
    return (mixed / mixed.sum(-1, keepdims=True)) @ rolled


def _identity_like(probs: Float[Array, "B N L S"]) -> Float[Array, "B L S"]:
    size = probs.shape[2]
    return jnp.broadcast_to(jnp.eye(size, dtype=jnp.float32), (probs.shape[0], size, size))


def _query_rows(probs: Float[Array, "B N L S"], positions: Int[Array, "B M"]) -> Float[Array, "B N M S"]:
    return rows_at(probs.swapaxes(1, 2), positions).swapaxes(1, 2)


def _mean_of_heads(rows: Float[Array, "B N M S"], heads: int | Sequence[int] | None) -> Float[Array, "B M S"]:
    numbers = chosen(heads, rows.shape[1], "heads")
    return rows[:, jnp.asarray(numbers)].mean(1)
