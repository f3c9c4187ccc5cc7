"""Cross-entropy over a vocabulary in tiles of tokens, with the gradient computed in the same pass."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm.ops._derivatives import with_backward
from jaxlm.ops._products import product
from jaxlm.ops._softcap import apply_softcap
from jaxlm.typing import Array, Bool, Float, Int


class CrossEntropy(NamedTuple):
    """Sums and counts of a cross-entropy.

    Attributes:
      loss_sum: `Float32[]` sum of the losses times their weights, in nats, smoothing and z-loss included.
        Differentiate this one.
      weight: `Float32[]` sum of the weights; `loss_sum / weight` is the mean loss.
      nll: `Float32[M]` negative log-likelihood of each target in nats, not multiplied by its weight; 0 where
        the weight is 0. No gradient flows through it.
      correct: `Bool[M]`, True where the target is the most likely id; of equally likely ids the lowest one
        counts as most likely. False where the weight is 0.
    """

    loss_sum: Float[Array, ""]
    weight: Float[Array, ""]
    nll: Float[Array, " M"]
    correct: Bool[Array, " M"]


# Features, targets, weights and smoothing of the rows of a tile.
_Tile = tuple[Array, Array, Array, Array | None]


class _Options(NamedTuple):
    tile: int
    label_smoothing: float | None  # None: by row
    z_loss: float
    softcap: float | None


def tiled_cross_entropy(
    features: Float[Array, "M D"],
    kernel: Float[Array, "V D"],
    bias: Float[Array, " V"] | None,
    targets: Int[Array, " M"],
    weights: Float[Array, " M"],
    *,
    tile: int = 1024,
    label_smoothing: float | Float[Array, " M"] = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> CrossEntropy:
    """Returns the weighted cross-entropy of `features @ kernel.T + bias`, `tile` rows at a time.

    With `p = softmax(logits)`, `lse` the log of its denominator and `s` the smoothing, the loss of a row is
    `-(1 - s) log p[target] - s mean_v log p[v] + z_loss lse^2`. The forward pass also computes the gradients
    of features, kernel and bias, tile by tile, and the backward pass only scales them: the result is a
    weighted sum. Products have the features' dtype; logits, sums and the kernel's gradient are float32.

    Args:
      features: `Float[M D]`, the features that are multiplied with the output kernel.
      kernel: `Float[V D]` output kernel, cast to the features' dtype.
      bias: `Float[V]`, added to the logits; None: nothing is added.
      targets: `Int[M]` ids in [0, V). An id out of range gives NaN, except where the weight is 0: there any
        value is fine.
      weights: `Float[M]`; rows of weight 0 contribute exactly 0 to sums and gradients, even if they hold NaN.
      tile: how many rows have their logits in memory at a time.
      label_smoothing: share of the target's probability that is spread over the vocabulary, in [0, 1); or
        `Float[M]`, a share in [0, 1] for each row, to which no gradient flows.
      z_loss: factor of `lse^2`, the squared log of the softmax's denominator, which is added to each loss.
      softcap: the logits become `softcap * tanh(logits / softcap)`; None: they stay as they are.

    Returns:
      `CrossEntropy`: the sums, and the values of each row.

    Raises:
      ValueError: if `tile` is not positive, `label_smoothing` is outside [0, 1) or `z_loss` is negative.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import tiled_cross_entropy
      >>> result = tiled_cross_entropy(jnp.ones((1, 2)), jnp.zeros((4, 2)), None, jnp.array([1]), jnp.ones(1))
      >>> round(float(result.loss_sum), 4)
      1.3863

    References:
      Szegedy et al., "Rethinking the Inception Architecture", 2015,
        https://arxiv.org/abs/1512.00567 (section 7).
      Chowdhery et al., "PaLM", 2022, https://arxiv.org/abs/2204.02311 (section 5, the z-loss).
    """
    if tile < 1:
        raise ValueError(f"tile is a positive number of rows, got {tile}")
    by_row, for_all = None, None
    if isinstance(label_smoothing, jax.Array):
        by_row = lax.stop_gradient(label_smoothing.astype(jnp.float32))
    else:
        for_all = float(label_smoothing)
        if not 0.0 <= for_all < 1.0:
            raise ValueError(f"label_smoothing lies in [0, 1), got {label_smoothing}")
    if z_loss < 0.0:
        raise ValueError(f"z_loss is not negative, got {z_loss}")
    options = _Options(tile, for_all, float(z_loss), softcap)
    loss_sum, nll, correct = _cross_entropy(features, kernel, bias, targets, weights, by_row, options)
    return CrossEntropy(loss_sum, weights.sum(), lax.stop_gradient(nll), correct)


def _plain_cross_entropy(features, kernel, bias, targets, weights, smoothing, options):
    """Returns (loss_sum, nll, correct). Its derivatives by JAX's rules compute each tile's logits again."""
    head = _Head(kernel.astype(features.dtype), bias)

    def body(loss_sum, tile: _Tile):
        rows = _tile_losses(head, *tile, options)
        return loss_sum + rows.weighted.sum(), (rows.nll, rows.correct)

    loss_sum, outputs = _over_tiles(
        jax.checkpoint(body), jnp.float32(0.0), (features, targets, weights, smoothing), options.tile
    )
    return loss_sum, *outputs


def _cross_entropy_forward(features, kernel, bias, targets, weights, smoothing, options):
    head = _Head(kernel.astype(features.dtype), bias)

    def body(carry, tile: _Tile):
        loss_sum, kernel_gradient, bias_gradient = carry
        tile_features, tile_targets, tile_weights, _ = tile
        rows = _tile_losses(head, *tile, options)
        gradient = _logit_gradient(rows, tile_targets, tile_weights, options)
        operand = gradient.astype(features.dtype)
        counted = jnp.where((tile_weights != 0)[:, None], tile_features, jnp.zeros_like(tile_features))
        kernel_gradient = kernel_gradient + product(operand, counted, 0, 0)
        bias_gradient = (
            None
            if bias is None
            else bias_gradient + product(jnp.ones((1, gradient.shape[0])), gradient, 1, 0)[0]
        )
        features_gradient = product(operand, head.kernel, 1, 0).astype(features.dtype)
        carry = (loss_sum + rows.weighted.sum(), kernel_gradient, bias_gradient)
        return carry, (rows.nll, rows.correct, rows.losses, features_gradient)

    zeros = partial(jnp.zeros, dtype=jnp.float32)
    start = (jnp.float32(0.0), zeros(kernel.shape), None if bias is None else zeros(bias.shape))
    carry, outputs = _over_tiles(body, start, (features, targets, weights, smoothing), options.tile)
    loss_sum, kernel_gradient, bias_gradient = carry
    nll, correct, losses, features_gradient = outputs
    kernel_gradient = kernel_gradient.astype(kernel.dtype)
    if bias is not None and bias_gradient is not None:
        bias_gradient = bias_gradient.astype(bias.dtype)
    return (loss_sum, nll, correct), (features_gradient, kernel_gradient, bias_gradient, losses)


def _cross_entropy_backward(options, saved, cotangents):
    del options
    upstream = cotangents[0]
    features, kernel, bias, weights = jax.tree.map(
        lambda gradient: gradient * upstream.astype(gradient.dtype), saved
    )
    return features, kernel, bias, None, weights, None


_cross_entropy = with_backward(
    _plain_cross_entropy, _cross_entropy_forward, _cross_entropy_backward, static=(6,)
)


class _Head(NamedTuple):
    kernel: Array
    bias: Array | None


class _Rows(NamedTuple):
    logits: Array  # [tile V]
    log_partition: Array  # the rest [tile]
    nll: Array
    losses: Array
    weighted: Array
    correct: Array
    smoothing: Array | float  # [tile], or one for all


def _tile_losses(
    head: _Head,
    features: Array,
    targets: Array,
    weights: Array,
    smoothing: Array | None,
    options: _Options,
) -> _Rows:
    counts = weights != 0
    features = jnp.where(counts[:, None], features, jnp.zeros_like(features))
    logits = product(features, head.kernel, 1, 1)
    if head.bias is not None:
        logits = logits + head.bias.astype(jnp.float32)[None, :]
    logits = apply_softcap(logits, options.softcap)
    log_partition = jax.nn.logsumexp(logits, axis=-1)
    rows = jnp.arange(targets.shape[0])
    target_logits = logits.at[rows, targets].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    nll = jnp.where(counts, log_partition - target_logits, 0.0)
    # The smoothing of a row of weight 0 may be anything too, NaN among it.
    smooth = (options.label_smoothing or 0.0) if smoothing is None else jnp.where(counts, smoothing, 0.0)
    losses = nll
    if smoothing is not None or options.label_smoothing:
        losses = (1.0 - smooth) * losses + smooth * (log_partition - logits.mean(-1))
    if options.z_loss:
        losses = losses + options.z_loss * jnp.square(log_partition)
    losses = jnp.where(counts, losses, 0.0)
    correct = _first_of_highest(*map(lax.stop_gradient, (logits, targets, target_logits))) & counts
    return _Rows(logits, log_partition, nll, losses, weights * losses, correct, smooth)


def _first_of_highest(logits: Array, targets: Array, target_logits: Array) -> Array:
    """Returns whether each target is the argmax, by two maxima: an argmax is not vectorised on a CPU."""
    vocabulary = lax.broadcasted_iota(targets.dtype, logits.shape, 1)
    earlier = jnp.where(vocabulary < targets[:, None], logits, -jnp.inf).max(-1)
    return (target_logits >= logits.max(-1)) & (target_logits > earlier)


def _logit_gradient(rows: _Rows, targets: Array, weights: Array, options: _Options) -> Array:
    probs = jnp.exp(rows.logits - rows.log_partition[:, None])
    vocabulary = lax.broadcasted_iota(targets.dtype, probs.shape, 1)
    smooth = rows.smoothing[:, None] if isinstance(rows.smoothing, jax.Array) else rows.smoothing
    wanted = jnp.where(vocabulary == targets[:, None], 1.0 - smooth, 0.0) + smooth / probs.shape[-1]
    if options.z_loss:
        probs = probs * (1.0 + 2.0 * options.z_loss * rows.log_partition)[:, None]
    gradient = (probs - wanted) * weights[:, None]
    if options.softcap is None:
        return gradient
    return gradient * (1.0 - jnp.square(rows.logits / options.softcap))


def _over_tiles(body, start, arrays: tuple, tile: int):
    """Returns the scan of `body` over tiles of rows; the last tile is padded with rows of weight 0."""
    num_rows = arrays[0].shape[0]
    if num_rows <= tile:
        return body(start, arrays)
    num_tiles = -(-num_rows // tile)

    def tiles(array):
        padding = [(0, num_tiles * tile - num_rows)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(num_tiles, tile, *array.shape[1:])

    carry, outputs = lax.scan(body, start, jax.tree.map(tiles, arrays))
    return carry, jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:num_rows], outputs)
