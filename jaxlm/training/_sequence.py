"""The objectives of sequence heads: a class or a number of each example, by its label.

Letters: `B` rows, `L` positions, `S` segments of a row, `C` outputs, `N` examples.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data
from jaxlm.errors import ConfigError, CorpusError
from jaxlm.training._objective import Objective
from jaxlm.training._sequence_inputs import Examples, read_batch, sequence_outputs
from jaxlm.training._token_loss import count
from jaxlm.typing import Array, Float, Int, Key


def classification_objective(
    labels: np.ndarray,
    *,
    num_segments: int,
    label_smoothing: float | Literal["fraction"] = 0.0,
    input_noise: corruption.Noise | None = None,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
) -> Objective:
    """Returns the objective of a classifier: cross-entropy in nats of each example's class.

    With `C` classes and smoothing `a`, an example's loss is `-(1 - a) log p[class] - a mean_c log p[c]`: the
    target puts `1 - a` on the true class and spreads `a` evenly over all classes. A piece of a divided record
    counts as an example of its own.

    Args:
      labels: `[N]` class of each example by its id, from 0; below 0 or NaN: unlabelled, counts nowhere.
      num_segments: S, the most segments of a row; see `batch_examples`.
      label_smoothing: `a` in [0, 1), or "fraction": as much as the example was to be corrupted by. In
        training only.
      input_noise: of what the model reads; None: clean.
      next_id: as in `masked_lm_objective`.
      positions_from: as in `masked_lm_objective`.
      deterministic: for evaluation: no dropout, no smoothing; the input noise stays, where it is given.

    Returns:
      `objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics)`, `weight` the number of
      examples; the metrics count `correct`, `tokens` (real ones) and `overflow` (segments beyond S), and of a
      deterministic objective also `confusion`, `Int[C C]`, rows the classes and columns what was predicted.

    Raises:
      CorpusError: if the labels are not classes, or the smoothing is out of range or has no noise to follow.

    Example:
      >>> classification_objective(np.array([0.5]), num_segments=1)
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: classes are whole numbers from 0 (below 0 or NaN: unlabelled): got 0.5 ...
    """
    classes = _classes(labels)
    _check_smoothing(label_smoothing, has_noise=input_noise is not None)

    def objective(
        apply_fn: Callable[..., Any], params: Any, batch: data.Batch, rngs: Mapping[str, Key[Array, ""]]
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]:
        inputs = read_batch(rngs["mask"], batch, input_noise, num_segments)
        outputs = sequence_outputs(
            apply_fn,
            params,
            batch,
            inputs,
            next_id=next_id,
            positions_from=positions_from,
            dropout_rng=None if deterministic else rngs["dropout"],
        )
        logits = outputs.center + outputs.scale * outputs.values
        if classes.max(initial=-1) >= logits.shape[-1]:
            raise CorpusError(
                f"classes are numbers below the head's {logits.shape[-1]} outputs: got {classes.max()}"
            )
        targets = jnp.asarray(classes)[inputs.examples.ids]
        counts = inputs.examples.present & (targets >= 0)
        smoothing = inputs.fractions if label_smoothing == "fraction" else label_smoothing
        losses = smoothed_cross_entropy(logits, jnp.maximum(targets, 0), 0.0 if deterministic else smoothing)
        predicted = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        metrics = _counted(batch, inputs.examples) | {"correct": count((predicted == targets) & counts)}
        if deterministic:
            metrics["confusion"] = _confusion(targets, predicted, counts, logits.shape[-1])
        return jnp.where(counts, losses, 0.0).sum(), counts.sum(dtype=jnp.float32), metrics

    return objective


def regression_objective(
    labels: np.ndarray,
    *,
    num_segments: int,
    scale: float = 1.0,
    input_noise: corruption.Noise | None = None,
    next_id: int | None = None,
    positions_from: str = "clean",
    deterministic: bool = False,
) -> Objective:
    """Returns the objective of a regression: the squared error of each example's value, in units of `scale`.

    A piece of a divided record counts as an example of its own.

    Args:
      labels: `[N]` or `[N C]` values of each example by its id; NaN: unlabelled, counts nowhere. They are
        brought to the head's units in float64 before they become float32.
      num_segments: S, the most segments of a row; see `batch_examples`.
      scale: errors are divided by it before they are squared; the labels' deviation makes losses and learning
        rates comparable between data (see `HeadConfig.center` and `HeadConfig.scale`).
      input_noise: of what the model reads; None: clean.
      next_id: as in `masked_lm_objective`.
      positions_from: as in `masked_lm_objective`.
      deterministic: for evaluation: no dropout; the input noise stays, where it is given.

    Returns:
      `objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics)`, `weight` the number of
      labelled values; the metrics are the sums `squared_error` and `absolute_error` in the labels' units, and
      count `tokens` (real ones) and `overflow` (segments beyond S).

    Raises:
      CorpusError: if the labels are misshapen or infinite.
      ConfigError: if `scale` is not positive.

    Example:
      >>> regression_objective(np.array([0.5, np.inf]), num_segments=1)
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: labels are finite (NaN: unlabelled): got inf (example 1)
    """
    values, known = _values(labels)
    if not 0.0 < scale < np.inf:
        raise ConfigError(f"scale is positive, got {scale}")

    def objective(
        apply_fn: Callable[..., Any], params: Any, batch: data.Batch, rngs: Mapping[str, Key[Array, ""]]
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]:
        inputs = read_batch(rngs["mask"], batch, input_noise, num_segments)
        outputs = sequence_outputs(
            apply_fn,
            params,
            batch,
            inputs,
            next_id=next_id,
            positions_from=positions_from,
            dropout_rng=None if deterministic else rngs["dropout"],
        )
        if outputs.values.shape[-1] != values.shape[1]:
            raise CorpusError(
                f"the head has {outputs.values.shape[-1]} outputs: got {values.shape[1]} labels an example"
            )
        ids = inputs.examples.ids
        counts = inputs.examples.present[..., None] & jnp.asarray(known)[ids]
        wanted = ((values - outputs.center) / outputs.scale).astype(np.float32)
        errors = jnp.where(counts, outputs.values - jnp.asarray(wanted)[ids], 0.0)
        metrics = _counted(batch, inputs.examples) | {
            "squared_error": outputs.scale**2 * jnp.square(errors).sum(),
            "absolute_error": outputs.scale * jnp.abs(errors).sum(),
        }
        loss_sum = jnp.square(outputs.scale / scale * errors).sum()
        return loss_sum, counts.sum(dtype=jnp.float32), metrics

    return objective


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


def _counted(batch: data.Batch, examples: Examples) -> dict[str, Array]:
    return {"tokens": count(jnp.asarray(batch.segments) > 0), "overflow": examples.left_out}


def _confusion(targets: Array, predicted: Array, counts: Array, num_classes: int) -> Int[Array, "C C"]:
    table = jnp.zeros((num_classes, num_classes), jnp.int32)
    return table.at[jnp.maximum(targets, 0), predicted].add(counts.astype(jnp.int32))


def _classes(labels: np.ndarray) -> np.ndarray:
    """Labels as int32, -1 for the unlabelled."""
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
    return np.maximum(numbers, -1).astype(np.int32)


def _values(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as float64 `[N C]`, 0 for the unlabelled; and which are labelled."""
    values = np.asarray(labels, np.float64)
    if values.ndim not in (1, 2):
        raise CorpusError(f"labels are [N] or [N C] values: got shape {values.shape}")
    infinite = np.argwhere(np.isinf(values))
    if infinite.size:
        place = tuple(infinite[0])
        raise CorpusError(f"labels are finite (NaN: unlabelled): got {values[place]} (example {place[0]})")
    values = values.reshape(len(values), -1)
    return np.nan_to_num(values), ~np.isnan(values)


def _check_smoothing(smoothing: float | str, *, has_noise: bool) -> None:
    if smoothing == "fraction" and not has_noise:
        raise ConfigError("label_smoothing='fraction' follows the noise of each example: give input_noise")
    if smoothing != "fraction" and (isinstance(smoothing, str) or not 0 <= smoothing < 1):
        raise ConfigError(f"label_smoothing lies in [0, 1) or is 'fraction', got {smoothing!r}")
