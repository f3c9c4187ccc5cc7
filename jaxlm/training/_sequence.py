"""The objectives of sequence heads: a class or a number of each example, by its label.

Letters: `B` rows, `L` positions, `S` segments of a row, `C` outputs, `N` examples.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, models, ops
from jaxlm.errors import ConfigError, CorpusError
from jaxlm.training._loss import LossFunction, LossInputs, count, loss_function, read_positions
from jaxlm.training._loss_config import LossConfig
from jaxlm.training._setting import Setting
from jaxlm.training._token_loss import Smoothing, check_smoothing
from jaxlm.typing import Array, Bool, Float, Int, Key


class Examples(NamedTuple):
    """The examples that the segments of packed rows belong to.

    Attributes:
      ids: `Int[B S]` example ids; 0 where a row has no such segment.
      present: `Bool[B S]`, True where it has.
      left_out: how many segments there are beyond S.
    """

    ids: Int[Array, "B S"]
    present: Bool[Array, "B S"]
    left_out: Int[Array, ""]


class LabelPlan(NamedTuple):
    """What `prepare_labels` knows beforehand.

    Attributes:
      targets: `Int32[N]` classes or `Float32[N C]` values in the head's units, by example id.
      known: which of them are labelled.
      num_segments: S, the most segments of a row; see `batch_examples`.
      input_noise: of what the model reads; None: clean.
      next_id: as in `TokenPlan`.
      positions_from: as in `TokenPlan`.
    """

    targets: np.ndarray
    known: np.ndarray
    num_segments: int
    input_noise: corruption.Noise | None = None
    next_id: int | None = None
    positions_from: str = "clean"


def batch_examples(batch: data.Batch, num_segments: int) -> Examples:
    """Returns the example of each segment.

    Args:
      batch: packed rows.
      num_segments: S, static; a row's segments above it are left out and counted. The most that a plan's rows
        hold is `numpy.diff(plan.row_starts).max()`.
    """
    segments = jnp.asarray(batch.segments)
    starts = ops.segment_starts(segments, num_segments)
    ids = jnp.take_along_axis(jnp.asarray(batch.example_ids), starts.positions, axis=1)
    beyond = jnp.maximum(segments.max(axis=1) - num_segments, 0).sum(dtype=jnp.int32)
    return Examples(jnp.where(starts.present, ids, 0), starts.present, beyond)


def prepare_labels(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: LabelPlan
) -> LossInputs:
    """Returns what a model of sequences reads of a batch, and the label of each of its segments.

    A piece of a divided record counts as an example of its own. Targets and weights are `[B S]`, of values
    `[B S C]`; fractions `[B S]` are 0 without noise, and `overflow` counts segments beyond S.
    """
    del step
    examples = batch_examples(batch, plan.num_segments)
    tokens, fractions = jnp.asarray(batch.tokens), jnp.zeros(examples.ids.shape, jnp.float32)
    if plan.input_noise is not None:
        corrupted = corruption.corrupt_batch(rng, batch, plan.input_noise)
        starts = ops.segment_starts(jnp.asarray(batch.segments), plan.num_segments)
        at_starts = jnp.take_along_axis(corrupted.fractions, starts.positions, axis=1)
        tokens, fractions = corrupted.tokens, jnp.where(starts.present, at_starts, 0.0)
    targets, known = (jnp.asarray(table)[examples.ids] for table in (plan.targets, plan.known))
    counts = known & examples.present.reshape(*examples.present.shape, *(1,) * (known.ndim - 2))
    positions = read_positions(batch, tokens, plan.next_id, plan.positions_from)
    return LossInputs(
        tokens=tokens,
        targets=targets,
        weights=counts.astype(jnp.float32),
        fractions=fractions,
        overflow=examples.left_out,
        arguments={"segments": batch.segments, "positions": positions},
    )


def class_loss(
    apply_fn: Callable[..., Any],
    params: Any,
    hidden: Float[Array, "B L D"],
    inputs: LossInputs,
    rngs: Mapping[str, Any],
    config: LossConfig,
    *,
    largest: int = 0,
) -> dict[str, Array]:
    """Returns the sums of a classifier's loss, cross-entropy in nats of each example's class, and `correct`.

    With `C` classes and smoothing `a`, an example's loss is `-(1 - a) log p[class] - a mean_c log p[c]`: the
    target puts `1 - a` on the true class and spreads `a` evenly over all classes.

    Raises:
      CorpusError: if the `largest` class is none of the head's outputs.
    """
    logits = _logits(sequence_outputs(apply_fn, params, hidden, inputs, rngs))
    if largest >= logits.shape[-1]:
        raise CorpusError(f"classes are numbers below the head's {logits.shape[-1]} outputs: got {largest}")
    smoothing = inputs.fractions if config.label_smoothing == "fraction" else config.label_smoothing
    counts = inputs.weights > 0
    losses = inputs.weights * smoothed_cross_entropy(logits, inputs.targets, smoothing)
    predicted = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return {
        "loss_sum": jnp.where(counts, losses, 0.0).sum(),
        "weight": inputs.weights.sum(),
        "correct": count((predicted == inputs.targets) & counts),
    }


def class_evaluation(
    apply_fn: Callable[..., Any],
    params: Any,
    hidden: Float[Array, "B L D"],
    inputs: LossInputs,
    rngs: Mapping[str, Any],
    config: LossConfig,
    *,
    largest: int = 0,
) -> dict[str, Array]:
    """Returns what `class_loss` does, and `confusion`, `Int[C C]`: rows the classes, columns predictions."""
    sums = class_loss(apply_fn, params, hidden, inputs, rngs, config, largest=largest)
    logits = _logits(sequence_outputs(apply_fn, params, hidden, inputs, rngs))
    predicted, counts = jnp.argmax(logits, axis=-1).astype(jnp.int32), (inputs.weights > 0).astype(jnp.int32)
    table = jnp.zeros((logits.shape[-1], logits.shape[-1]), jnp.int32)
    return sums | {"confusion": table.at[inputs.targets, predicted].add(counts)}


def value_loss(
    apply_fn: Callable[..., Any],
    params: Any,
    hidden: Float[Array, "B L D"],
    inputs: LossInputs,
    rngs: Mapping[str, Any],
    config: LossConfig,
) -> dict[str, Array]:
    """Returns the sums of a regression's loss, the squared error of each value in the head's units.

    `squared_error` and `absolute_error` are in the labels' units.

    Raises:
      CorpusError: if the head has another number of outputs than an example has labels.
    """
    del config
    outputs = sequence_outputs(apply_fn, params, hidden, inputs, rngs)
    if outputs.values.shape[-1] != inputs.targets.shape[-1]:
        found, wanted = inputs.targets.shape[-1], outputs.values.shape[-1]
        raise CorpusError(f"the head has {wanted} outputs: got {found} labels an example")
    errors = jnp.where(inputs.weights > 0, outputs.values - inputs.targets, 0.0)
    squares = inputs.weights * jnp.square(errors)
    return {
        "loss_sum": squares.sum(),
        "weight": inputs.weights.sum(),
        "squared_error": outputs.scale**2 * squares.sum(),
        "absolute_error": outputs.scale * (inputs.weights * jnp.abs(errors)).sum(),
    }


def sequence_outputs(
    apply_fn: Callable[..., Any],
    params: Any,
    hidden: Float[Array, "B L D"],
    inputs: LossInputs,
    rngs: Mapping[str, Any],
) -> models.StandardizedOutputs:
    """Returns what the head makes of each segment of a batch, before its units.

    Args:
      apply_fn: `model.apply` of a `SequenceModel`, or of a `MultiHeadModel` with its head named.
      params: the model's.
      hidden: what its body made of `inputs`.
      inputs: their targets are `[B S ...]`.
      rngs: a key "dropout", or nothing: no dropout.
    """
    return apply_fn(
        {"params": params},
        hidden,
        segments=inputs.arguments["segments"],
        num_segments=inputs.targets.shape[1],
        deterministic=not rngs,
        rngs=rngs,
        method="standardized_outputs",
    )


def classification_loss(
    labels: np.ndarray,
    *,
    num_segments: int,
    label_smoothing: Smoothing = 0.0,
    input_noise: corruption.Noise | None = None,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
) -> LossFunction:
    """Returns the loss of a classifier: see `class_loss`.

    Args:
      labels: `[N]` class of each example by its id, from 0; below 0 or NaN: unlabelled, counts nowhere.
      num_segments: S, the most segments of a row; see `batch_examples`.
      label_smoothing: see `LossConfig`; training only.
      input_noise: of what the model reads; None: clean.
      next_id: as in `TokenPlan`.
      positions_from: as in `TokenPlan`.
      deterministic: an evaluation: no dropout, no smoothing; the input noise stays, where it is given.

    Returns:
      As `loss_function`, `weight` the number of examples.

    Raises:
      CorpusError: if the labels are not classes.
      ConfigError: if the smoothing is out of range or has no noise to follow.

    Example:
      >>> classification_loss(np.array([0.5]), num_segments=1)
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: classes are whole numbers from 0 (below 0 or NaN: unlabelled): got 0.5 ...
    """
    check_smoothing(label_smoothing, has_noise=input_noise is not None)
    config = LossConfig(label_smoothing=0.0 if deterministic else label_smoothing)
    plan = LabelPlan(*class_table(labels), num_segments, input_noise, next_id, positions_from)
    sums = partial(
        class_evaluation if deterministic else class_loss, largest=int(plan.targets.max(initial=0))
    )
    return _loss(plan, sums, config, deterministic)


def regression_loss(
    labels: np.ndarray,
    *,
    num_segments: int,
    center: float = 0.0,
    scale: float = 1.0,
    input_noise: corruption.Noise | None = None,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
) -> LossFunction:
    """Returns the loss of a regression: see `value_loss`.

    Args:
      labels: `[N]` or `[N C]` values of each example by its id; NaN: unlabelled, counts nowhere. They are
        brought to the head's units in float64 before they become float32.
      num_segments: S, the most segments of a row; see `batch_examples`.
      center: the head's, see `HeadConfig.center`.
      scale: the head's, see `HeadConfig.scale`: the labels' deviation makes losses and learning rates
        comparable between data.
      input_noise: of what the model reads; None: clean.
      next_id: as in `TokenPlan`.
      positions_from: as in `TokenPlan`.
      deterministic: an evaluation: no dropout; the input noise stays, where it is given.

    Returns:
      As `loss_function`, `weight` the number of labelled values.

    Raises:
      CorpusError: if the labels are misshapen or infinite.
      ConfigError: if `scale` is not positive.

    Example:
      >>> regression_loss(np.array([0.5, np.inf]), num_segments=1)
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: labels are finite (NaN: unlabelled): got inf (example 1)
    """
    tables = value_table(labels, center, scale)
    plan = LabelPlan(*tables, num_segments, input_noise, next_id, positions_from)
    return _loss(plan, value_loss, LossConfig(), deterministic)


def plan_classes(setting: Setting) -> LabelPlan:
    """Returns what `prepare_labels` knows of a classifier and its data.

    Raises:
      CorpusError: if labels are missing, or are no classes of the head.
      ConfigError: if the loss is smoothed by a noise that is not there.
    """
    labels = _labels(setting)
    plan = _plan(setting, class_table(labels))
    check_smoothing(setting.loss.label_smoothing, has_noise=plan.input_noise is not None)
    most, outputs = plan.targets.max(initial=-1), setting.head.num_outputs
    if most >= outputs:
        raise CorpusError(f"classes are numbers below the head's {outputs} outputs: got {most}")
    return plan


def plan_values(setting: Setting) -> LabelPlan:
    """Returns what `prepare_labels` knows of a regression and its data; see `plan_classes`."""
    return _plan(setting, value_table(_labels(setting), setting.head.center, setting.head.scale))


def class_table(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as int32 `[N]`, 0 for the unlabelled, and which are labelled.

    Raises:
      CorpusError: if they are not classes.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise CorpusError(f"classes are one number an example: got labels of shape {labels.shape}")
    numbers = np.where(np.isnan(labels), -1, labels) if labels.dtype.kind == "f" else labels
    broken = np.flatnonzero(numbers != np.round(numbers))
    if broken.size:
        raise CorpusError(
            "classes are whole numbers from 0 (below 0 or NaN: unlabelled): "
            f"got {labels[broken[0]]} (example {broken[0]})"
        )
    return np.maximum(numbers, 0).astype(np.int32), numbers >= 0


def value_table(labels: np.ndarray, center: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels in the head's units as float32 `[N C]`, and which are labelled.

    Raises:
      CorpusError: if they are misshapen or infinite.
      ConfigError: if `scale` is not positive.
    """
    if not 0.0 < scale < np.inf:
        raise ConfigError(f"scale is positive, got {scale}")
    values = np.asarray(labels, np.float64)
    if values.ndim not in (1, 2):
        raise CorpusError(f"labels are [N] or [N C] values: got shape {values.shape}")
    infinite = np.argwhere(np.isinf(values))
    if infinite.size:
        place = tuple(infinite[0])
        raise CorpusError(f"labels are finite (NaN: unlabelled): got {values[place]} (example {place[0]})")
    values = values.reshape(len(values), -1)
    return ((np.nan_to_num(values) - center) / scale).astype(np.float32), ~np.isnan(values)


def smoothed_cross_entropy(
    logits: Float[Array, "*batch C"], targets: Int[Array, "*batch"], smoothing: float | Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Returns `-(1 - a) log p[target] - a mean_c log p[c]` in nats, `a` the smoothing of all or of each row.

    Example:
      >>> logits = jnp.array([[2.0, 0.0], [2.0, 0.0]])
      >>> losses = smoothed_cross_entropy(logits, jnp.array([0, 0]), jnp.array([0.0, 1.0]))
      >>> [round(loss, 4) for loss in losses.tolist()]
      [0.1269, 1.1269]
    """
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    wanted = jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    return -(1.0 - smoothing) * wanted - smoothing * log_probs.mean(-1)


def _logits(outputs: models.StandardizedOutputs) -> Float[Array, "B S C"]:
    return outputs.center + outputs.scale * outputs.values


def _loss(
    plan: LabelPlan, head_sums: Callable[..., dict[str, Array]], config: LossConfig, deterministic: bool
) -> LossFunction:
    prepare, sums = partial(prepare_labels, plan=plan), partial(head_sums, config=config)
    return loss_function(prepare, sums, deterministic=deterministic, splits_dropout=True)


def _labels(setting: Setting) -> np.ndarray:
    labels = setting.splits[0].cache.labels
    if labels is None:
        raise CorpusError("a model of labels is evaluated by labels: got records without")
    return labels


def _plan(setting: Setting, tables: tuple[np.ndarray, np.ndarray]) -> LabelPlan:
    noise = setting.noise(setting.input_noise)
    return LabelPlan(*tables, setting.num_segments, noise, **setting.positions)
