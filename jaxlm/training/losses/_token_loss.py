"""The head sums of a language model: cross-entropy in training, further metrics in evaluations."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.errors import ConfigError
from jaxlm.training.losses._loss import (
    HeadCall,
    HeadSums,
    LossFunction,
    LossInputs,
    count_true,
    loss_function,
)
from jaxlm.training.losses._loss_config import LossConfig
from jaxlm.training.losses._token_metrics import token_metrics
from jaxlm.typing import Array, Float

Smoothing = float | Literal["fraction"]


def token_loss(
    head: HeadCall, inputs: LossInputs, config: LossConfig, *, tile: int = 1024
) -> dict[str, Array]:
    """Returns the sums of a language model's training loss: `loss_sum` in nats, and `correct`, a count.

    The head is applied only to the positions that predict, and to `tile` of them at a time, so that there is
    never an array of all positions times the vocabulary.

    Args:
      head: the body's output and the means to call a language model's head on it.
      inputs: the prepared batch, whose targets are token ids.
      config: label smoothing and z-loss of the training loss.
      tile: how many positions have their logits in memory at a time.
    """
    features, parts = _features_and_projection(head, inputs)
    result = ops.tiled_cross_entropy(
        features,
        parts.kernel,
        parts.bias,
        inputs.targets,
        inputs.weights,
        tile=min(tile, inputs.targets.shape[0]),
        label_smoothing=resolved_smoothing(config, inputs),
        z_loss=config.z_loss,
        softcap=parts.softcap,
    )
    correct = count_true(result.correct & (inputs.weights > 0))
    return {"loss_sum": result.loss_sum, "correct": correct}


def token_evaluation(
    head: HeadCall, inputs: LossInputs, config: LossConfig, *, tile: int = 1024
) -> dict[str, Array]:
    """Returns the sums of `token_metrics` for a language model, without smoothing and z-loss.

    Args:
      head: the body's output and the means to call a language model's head on it.
      inputs: the prepared batch, whose targets are token ids.
      config: not used here.
      tile: how many positions have their logits in memory at a time.
    """
    del config
    features, parts = _features_and_projection(head, inputs)
    tile = min(tile, inputs.targets.shape[0])
    scores = ops.token_scores(
        features, parts.kernel, parts.bias, inputs.targets, softcap=parts.softcap, tile=tile
    )
    return token_metrics(scores, inputs.weights, inputs.fractions)


def token_loss_function(
    prepare: Callable[..., LossInputs],
    *,
    label_smoothing: Smoothing = 0.0,
    z_loss: float = 0.0,
    tile: int = 1024,
    deterministic: bool = False,
    log_unigrams: np.ndarray | None = None,
) -> LossFunction:
    """Returns a language model's loss function: cross-entropy in nats of the prepared targets.

    Args:
      prepare: a function `prepare(rng, batch, step) -> LossInputs`, whose targets are ids.
      label_smoothing: share of the target's probability that is spread evenly over all ids or classes, in
        training only; "fraction" follows the noise, see `LossConfig`.
      z_loss: factor of the squared log of the softmax's denominator, which is added to the loss in training
        only.
      tile: how many positions have their logits in memory at a time.
      deterministic: whether the loss is that of an evaluation: it has no dropout, smoothing or z-loss, and
        returns the sums of `token_metrics`, also by level of noise if the noise has a schedule.
      log_unigrams: `Float[V]`, log-probabilities of the ids' frequencies from `unigram_log_probs`: a baseline
        that is scored at the same positions. None: there is no baseline.

    Returns:
      A loss function, see `loss_function`. Its metrics have the count `correct`; with `log_unigrams` also the
      sums `unigram_loss_sum` and `unigram_correct`.
    """
    config = LossConfig(label_smoothing=label_smoothing, z_loss=z_loss)
    head_sums = partial(token_evaluation if deterministic else token_loss, config=config, tile=tile)
    return loss_function(prepare, with_unigrams(head_sums, log_unigrams), deterministic=deterministic)


def with_unigrams(head_sums: HeadSums, log_unigrams: np.ndarray | None) -> HeadSums:
    """Returns head sums to which those of the unigram baseline are added; see `token_loss_function`."""
    if log_unigrams is None:
        return head_sums

    def sums(head: HeadCall, inputs: LossInputs) -> dict[str, Array]:
        table, counts = jnp.asarray(log_unigrams, jnp.float32), inputs.weights > 0
        log_probs = inputs.weights * table[inputs.targets]
        is_right = inputs.targets == jnp.argmax(table)
        return head_sums(head, inputs) | {
            "unigram_loss_sum": -jnp.where(counts, log_probs, jnp.zeros_like(log_probs)).sum(),
            "unigram_correct": jnp.where(counts & is_right, inputs.weights, 0.0).sum(),
        }

    return sums


def resolved_smoothing(config: LossConfig, inputs: LossInputs) -> float | Float[Array, "..."]:
    """Returns the label smoothing: one number for all targets, or with "fraction" one for each.

    Args:
      config: of the loss.
      inputs: their `fractions` are read where the smoothing is "fraction".

    Raises:
      ConfigError: if the smoothing is "fraction" and there are no fractions.
    """
    if not isinstance(config.label_smoothing, str):
        return config.label_smoothing
    if inputs.fractions is None:
        raise ConfigError("label_smoothing='fraction' smooths by the noise of each example: got no fractions")
    return inputs.fractions


def check_smoothing(label_smoothing: Smoothing, *, has_noise: bool) -> None:
    """Refuses label smoothing by the noise's fraction where there is no noise.

    Raises:
      ConfigError: if `label_smoothing` is "fraction" and there is no noise that has one.
    """
    if label_smoothing == "fraction" and not has_noise:
        raise ConfigError(
            "label_smoothing='fraction' smooths by the noise of each example: give input_noise or "
            "target_noise, or a share in [0, 1)"
        )


def _features_and_projection(
    head: HeadCall, inputs: LossInputs
) -> tuple[Float[Array, "M D"], models.HeadProjection]:
    """Returns the features of the positions that predict, and the head's kernel, bias and soft cap."""
    rows = head.hidden.reshape(-1, head.hidden.shape[-1])
    parts = models.head_projection(head.apply_fn, head.params)
    return parts.features(rows if inputs.indices is None else rows[inputs.indices]), parts
