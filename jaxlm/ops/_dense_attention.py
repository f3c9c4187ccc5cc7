"""Attention that holds the `[L, S]` weights of every head, with a gradient written by hand.

Inside, heads come first, `[B N L H]`, and the query heads that share a key head are stacked along the rows
of one product, `[B, K, (N / K) * L, H]`. The softmax weights stay unnormalised, `exp(scores - max)`: the
division by each row's sum is applied to the outputs `[.., H]` instead, which saves a pass over `[L, S]` in
each direction. The gradients of keys and values are computed transposed, so that the small operand is the
one that is transposed in memory.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.ops._derivatives import with_backward
from jaxlm.ops._dropout import dropout_mask
from jaxlm.ops._products import product, row_major
from jaxlm.typing import Array


class Settings(NamedTuple):
    """What is static: factor and bound of the scores, and the dropout rate of the weights."""

    scale: float
    softcap: float | None
    dropout_rate: float


def _plain_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    bias: Array | None,
    words: Array | None,
    settings: Settings,
) -> Array:
    """Returns the outputs `[B L N H]` in the query's dtype; `words` are the dropout key's, or None."""
    return _forward(query, key, value, mask, bias, words, settings)[0]


def attention_probs(
    query: Array, key: Array, mask: Array | None, bias: Array | None, settings: Settings
) -> Array:
    """Returns the float32 probabilities `[B N L S]` before dropout; JAX's own rules differentiate them.

    Args:
      query: `[B L N H]`.
      key: `[B S K H]`.
      mask: True = may attend, or None.
      bias: added to the scores, or None.
      settings: factor and bound of the scores.
    """
    exponentials = _exponentials(_heads_first(query), _heads_first(key), mask, bias, settings)
    return exponentials * _inverse_sums(exponentials)


def weighted_values(probs: Array, value: Array, words: Array | None, settings: Settings) -> Array:
    """Returns the outputs `[B L N H]` of given probabilities after dropout, by JAX's own derivatives.

    Args:
      probs: `[B N L S]`.
      value: `[B S K H]`.
      words: of the dropout's key, or None.
      settings: the dropout rate.
    """
    weights = _dropped(probs, words, settings).astype(value.dtype)
    outputs = _weighted(weights, _heads_first(value)) * _rescale(settings)
    return outputs.swapaxes(1, 2).astype(value.dtype)


def _forward(query, key, value, mask, bias, words, settings):
    query, key, value = _heads_first(query), _heads_first(key), _heads_first(value)
    exponentials = _exponentials(query, key, mask, bias, settings).astype(query.dtype)
    inverse = _inverse_sums(exponentials)
    outputs = _weighted(_dropped(exponentials, words, settings), value) * (inverse * _rescale(settings))
    outputs = outputs.swapaxes(1, 2).astype(query.dtype)
    return outputs, (query, key, value, exponentials, inverse, outputs, bias, words)


def _backward(settings, saved, upstream):
    query, key, value, exponentials, inverse, outputs, bias, words = saved
    inner = (upstream.astype(jnp.float32) * outputs.astype(jnp.float32)).sum(-1)
    inner = inverse * inner.swapaxes(1, 2)[..., None]
    scaled = upstream.astype(jnp.float32).swapaxes(1, 2) * (inverse * _rescale(settings))
    scaled = row_major(scaled.astype(query.dtype))
    value_gradient = _summed_over_queries(scaled, _dropped(exponentials, words, settings), value)
    weights_gradient = _dropped(_against(scaled, value), words, settings)
    scores_gradient = exponentials.astype(jnp.float32) * (weights_gradient - inner)
    bias_gradient = None if bias is None else _summed_like(scores_gradient, bias)
    scores_gradient = scores_gradient * np.float32(settings.scale)
    if settings.softcap is not None:
        relative = _scores(query, key, settings) / settings.softcap
        scores_gradient = scores_gradient * (1.0 - jnp.square(relative))
    scores_gradient = scores_gradient.astype(query.dtype)
    query_gradient = _weighted(scores_gradient, key).swapaxes(1, 2).astype(query.dtype)
    key_gradient = _summed_over_queries(query, scores_gradient, key)
    return query_gradient, key_gradient, value_gradient, None, bias_gradient, None


dense_attention = with_backward(_plain_attention, _forward, _backward, static=(6,))


def _exponentials(
    query: Array, key: Array, mask: Array | None, bias: Array | None, settings: Settings
) -> Array:
    """Returns `exp(scores - max)` in float32, `[B N L S]`, 0 where the mask is False."""
    scores = _scores(query, key, settings)
    scores = scores if bias is None else scores + bias.astype(jnp.float32)
    bounded = scores if mask is None else jnp.where(mask, scores, np.finfo(np.float32).min)
    exponentials = jnp.exp(bounded - lax.stop_gradient(bounded.max(-1, keepdims=True)))
    return exponentials if mask is None else jnp.where(mask, exponentials, 0.0)


def _inverse_sums(exponentials: Array) -> Array:
    """Returns one over the sum of each row, and 1 for rows whose sum is 0."""
    sums = exponentials.astype(jnp.float32).sum(-1, keepdims=True)
    return 1.0 / jnp.where(sums == 0.0, 1.0, sums)


def _scores(query: Array, key: Array, settings: Settings) -> Array:
    scores = _against(query, key) * np.float32(settings.scale)
    if settings.softcap is None:
        return scores
    return settings.softcap * jnp.tanh(scores / settings.softcap)


def _summed_like(gradient: Array, bias: Array) -> Array:
    """Returns the gradient of a bias: summed over the axes along which the bias was broadcast."""
    axes = tuple(axis for axis in range(4) if bias.shape[axis] == 1 != gradient.shape[axis])
    return gradient.sum(axes, keepdims=True).astype(bias.dtype)


def _dropped(weights: Array, words: Array | None, settings: Settings) -> Array:
    """Zeroes a share of the weights; the outputs are multiplied by `_rescale` instead of the weights."""
    if not settings.dropout_rate or words is None:
        return weights
    return jnp.where(
        dropout_mask(words, weights.shape, settings.dropout_rate), weights, jnp.zeros_like(weights)
    )


def _rescale(settings: Settings) -> np.float32:
    return np.float32(1.0 / (1.0 - settings.dropout_rate))


def _heads_first(array: Array) -> Array:
    return row_major(array.swapaxes(1, 2))


def _against(queries: Array, keys: Array) -> Array:
    """Returns each query row times each key row of its head: `[B N L H], [B K S H] -> [B N L S]`."""
    outputs = product(_stacked(queries, keys), keys, 3, 3, num_batch_axes=2)
    return outputs.reshape(*queries.shape[:3], keys.shape[2])


def _weighted(weights: Array, keys: Array) -> Array:
    """Returns weighted sums of the key head's rows: `[B N L S], [B K S H] -> [B N L H]`."""
    outputs = product(_stacked(weights, keys), keys, 3, 2, num_batch_axes=2)
    return outputs.reshape(*weights.shape[:3], keys.shape[3])


def _summed_over_queries(queries: Array, weights: Array, keys: Array) -> Array:
    """Returns each key's weighted sum of query rows: `[B N L H], [B N L S] -> [B S K H]`."""
    outputs = product(_stacked(queries, keys), _stacked(weights, keys), 2, 2, num_batch_axes=2)
    return outputs.transpose(0, 3, 1, 2).astype(keys.dtype)


def _stacked(array: Array, keys: Array) -> Array:
    """Stacks the query heads that share a key head along the rows: `[B N L X] -> [B, K, (N / K) * L, X]`."""
    return array.reshape(array.shape[0], keys.shape[1], -1, array.shape[3])
