"""The head's part of a language model's objective: the training loss, or all that an evaluation counts."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.training._token_metrics import token_metrics
from jaxlm.typing import Array, Bool, Float, Int

Smoothing = float | Literal["fraction"]


class Predictions(NamedTuple):
    """Positions that predict, and what.

    Attributes:
      rows: `Float[M D]` the residual stream there.
      targets: `Int[M]` ids.
      weights: `Float[M]` 1 where the position counts, else 0.
      fractions: `Float[M]` what the position's example was to be corrupted by; None without noise.
    """

    rows: Float[Array, "M D"]
    targets: Int[Array, " M"]
    weights: Float[Array, " M"]
    fractions: Float[Array, " M"] | None


def prediction_sums(
    apply_fn: Callable[..., Any],
    params: Any,
    predictions: Predictions,
    *,
    deterministic: bool,
    label_smoothing: Smoothing = 0.0,
    z_loss: float = 0.0,
    tile: int = 1024,
) -> dict[str, Array]:
    """Returns the sums of predictions: `loss_sum`, `weight`, `correct`, and of an evaluation `token_metrics`.

    The head's product is taken in tiles over positions, so that no array over positions times vocabulary
    exists.

    Args:
      apply_fn: `model.apply`.
      params: its parameters; the gradient of `loss_sum` is theirs.
      predictions: gathered, so that M is as small as can be.
      deterministic: an evaluation: the negative log-likelihood alone, and every metric.
      label_smoothing: see `LossConfig`; training only.
      z_loss: see `LossConfig`; training only.
      tile: rows of logits held at once.
    """
    rows, targets, weights, fractions = predictions
    head = models.head_projection(apply_fn, params)
    features = head.features(rows)
    tile = min(tile, targets.shape[0])
    if deterministic:
        scores = ops.token_scores(features, head.kernel, head.bias, targets, softcap=head.softcap, tile=tile)
        return token_metrics(scores, weights, fractions)
    smoothing = fractions if isinstance(label_smoothing, str) else label_smoothing
    result = ops.tiled_cross_entropy(
        features,
        head.kernel,
        head.bias,
        targets,
        weights,
        tile=tile,
        label_smoothing=smoothing,
        z_loss=z_loss,
        softcap=head.softcap,
    )
    correct = count(result.correct & (weights > 0))
    return {"loss_sum": result.loss_sum, "weight": result.weight, "correct": correct}


def count(flags: Bool[Array, "..."]) -> Int[Array, ""]:
    """Returns how many are True, as int32."""
    return flags.sum(dtype=jnp.int32)
