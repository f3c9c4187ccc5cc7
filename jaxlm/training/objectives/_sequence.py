"""The losses of sequence heads: a class or a number for each example.

Letters: `B` rows, `L` positions, `G` segments of a row, `C` outputs.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models
from jaxlm.errors import CorpusError
from jaxlm.training.losses import (
    HeadCall,
    HeadSums,
    LossConfig,
    LossFunction,
    LossInputs,
    Smoothing,
    check_smoothing,
    count_true,
    loss_function,
    resolved_smoothing,
)
from jaxlm.training.objectives._labels import LabelPlan, class_table, prepare_labels, value_table
from jaxlm.typing import Array, Float, Int


def class_loss(head: HeadCall, inputs: LossInputs, config: LossConfig) -> dict[str, Array]:
    """Returns the sums of a classifier's loss: cross-entropy in nats (`loss_sum`), and `correct`, a count.

    With `C` classes and smoothing `a`, an example's loss is `-(1 - a) log p[class] - a mean_c log p[c]`: the
    target puts `1 - a` on the true class and spreads `a` evenly over all classes.

    Args:
      head: the body's output and the means to call a classifier's head on it.
      inputs: the prepared batch, whose targets are class numbers.
      config: the label smoothing; a classifier has no z-loss.
    """
    logits, counts = _logits(head, inputs), inputs.weights > 0
    smoothing = resolved_smoothing(config, inputs)
    losses = inputs.weights * smoothed_cross_entropy(logits, inputs.targets, smoothing)
    return {
        "loss_sum": jnp.where(counts, losses, 0.0).sum(),
        "correct": count_true((jnp.argmax(logits, axis=-1) == inputs.targets) & counts),
    }


def class_evaluation(head: HeadCall, inputs: LossInputs, config: LossConfig) -> dict[str, Array]:
    """Returns the sums of `class_loss`, and `confusion`, `Int[C C]`: rows are classes, columns predictions.

    Args:
      head: the body's output and the means to call a classifier's head on it.
      inputs: the prepared batch, whose targets are class numbers.
      config: the label smoothing; evaluations are called with 0.
    """
    logits = _logits(head, inputs)
    table = jnp.zeros((logits.shape[-1], logits.shape[-1]), jnp.int32)
    cells = table.at[inputs.targets, jnp.argmax(logits, axis=-1)]
    return class_loss(head, inputs, config) | {"confusion": cells.add((inputs.weights > 0).astype(jnp.int32))}


def value_loss(head: HeadCall, inputs: LossInputs, config: LossConfig) -> dict[str, Array]:
    """Returns the sums of a regression's loss: squared errors of the values, in the head's units.

    In these units a label is `(label - center) / scale`. The other sums, `squared_error` and
    `absolute_error`, are in the labels' own units.

    Args:
      head: the body's output and the means to call a regression's head on it.
      inputs: the prepared batch, whose targets are the values to predict.
      config: not used here.

    Raises:
      CorpusError: if the head's number of outputs is not the number of labels of an example.
    """
    del config
    outputs, weights = sequence_outputs(head, inputs), inputs.weights
    number, labels = outputs.values.shape[-1], inputs.targets.shape[-1]
    if number != labels:
        raise CorpusError(f"the head has {number} outputs: got {labels} labels an example")
    errors = jnp.where(weights > 0, outputs.values - inputs.targets, 0.0)
    squares = weights * jnp.square(errors)
    return {
        "loss_sum": squares.sum(),
        "squared_error": outputs.scale**2 * squares.sum(),
        "absolute_error": outputs.scale * (weights * jnp.abs(errors)).sum(),
    }


def sequence_outputs(head: HeadCall, inputs: LossInputs) -> models.StandardizedOutputs:
    """Returns a sequence head's outputs for each segment of a batch, before scale and center are applied."""
    return head(
        "standardized_outputs",
        head.hidden,
        segments=inputs.required_read().segments,
        num_segments=inputs.targets.shape[1],
        deterministic=not head.rngs,
        rngs=head.rngs,
    )


def classification_loss(
    labels: np.ndarray,
    *,
    num_segments: int,
    label_smoothing: Smoothing = 0.0,
    deterministic: bool = False,
    **options: Any,
) -> LossFunction:
    """Returns a classifier's loss function, see `class_loss`; `weight` is the number of labelled examples.

    Args:
      labels: the class of each example, from 0, at the index of its example id. Below 0 or NaN: the example
        is unlabelled and has weight 0.
      num_segments: G, the most segments (texts) in a row; static. Segments beyond G are left out and counted.
      label_smoothing: share of the target's probability that is spread over all classes, in training only;
        "fraction": for each example, the share of it that the input noise was to corrupt.
      deterministic: whether the loss is that of an evaluation: no dropout and no smoothing. The input noise
        stays.
      options: `input_noise`, the noise that corrupts what the model reads, and `next_id` and
        `positions_from`, which say how instruction positions are computed (see `TokenPlan`).

    Raises:
      CorpusError: if the labels are not classes.
      ConfigError: if the smoothing is out of range or has no noise to follow.

    Example:
      >>> import numpy as np
      >>> from jaxlm.training import classification_loss
      >>> classification_loss(np.array([0.5]), num_segments=1)
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: classes are whole numbers from 0 (below 0 or NaN: unlabelled): got 0.5 ...
    """
    check_smoothing(label_smoothing, has_noise=options.get("input_noise") is not None)
    config = LossConfig(label_smoothing=0.0 if deterministic else label_smoothing)
    plan = LabelPlan(*class_table(labels), num_segments, **options)
    return _loss(plan, class_evaluation if deterministic else class_loss, config, deterministic)


def regression_loss(
    labels: np.ndarray,
    *,
    num_segments: int,
    center: float = 0.0,
    scale: float = 1.0,
    deterministic: bool = False,
    **options: Any,
) -> LossFunction:
    """Returns a regression's loss function, see `value_loss`; `weight` is the number of labelled values.

    Args:
      labels: the value, or the C values, of each example, at the index of its example id. NaN: the value is
        unlabelled and has weight 0.
      num_segments: G, the most segments (texts) in a row; static. Segments beyond G are left out and counted.
      center: the label at which the head's output is 0, such as the mean of the labels.
      scale: how much the label grows if the head's output grows by 1. If it is the labels' standard
        deviation, losses and learning rates are comparable between data sets.
      deterministic: whether the loss is that of an evaluation: no dropout. The input noise stays.
      options: `input_noise`, the noise that corrupts what the model reads, and `next_id` and
        `positions_from`, which say how instruction positions are computed (see `TokenPlan`).

    Raises:
      CorpusError: if the labels are misshapen or infinite.
      ConfigError: if `scale` is not positive.

    Example:
      >>> import numpy as np
      >>> from jaxlm.training import regression_loss
      >>> regression_loss(np.array([0.5, np.inf]), num_segments=1)
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: labels are finite (NaN: unlabelled): got inf (example 1)
    """
    plan = LabelPlan(*value_table(labels, center, scale), num_segments, **options)
    return _loss(plan, value_loss, LossConfig(), deterministic)


def smoothed_cross_entropy(
    logits: Float[Array, "*batch C"], targets: Int[Array, "*batch"], smoothing: float | Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Returns `-(1 - a) log p[target] - a mean_c log p[c]` in nats, with smoothing `a`.

    Args:
      logits: `Float[... C]`, the logits of C classes in each row.
      targets: `Int[...]`, the class of each row of logits.
      smoothing: a in [0, 1], one number for all rows or one for each row.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.training import smoothed_cross_entropy
      >>> logits = jnp.array([[2.0, 0.0], [2.0, 0.0]])
      >>> losses = smoothed_cross_entropy(logits, jnp.array([0, 0]), jnp.array([0.0, 1.0]))
      >>> [round(loss, 4) for loss in losses.tolist()]
      [0.1269, 1.1269]
    """
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    return -(1.0 - smoothing) * chosen - smoothing * log_probs.mean(-1)


def _logits(head: HeadCall, inputs: LossInputs) -> Float[Array, "B G C"]:
    outputs = sequence_outputs(head, inputs)
    return outputs.center + outputs.scale * outputs.values


def _loss(plan: LabelPlan, head_sums: HeadSums, config: LossConfig, deterministic: bool) -> LossFunction:
    prepare, sums = partial(prepare_labels, plan=plan), partial(head_sums, config=config)
    return loss_function(prepare, sums, deterministic=deterministic, splits_dropout=True)
