"""The inputs and targets of classifiers and regressions: the examples of packed rows, and their labels.

Letters: `B` rows, `L` positions, `G` segments of a row, `C` outputs.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, models, ops
from jaxlm.errors import ConfigError, CorpusError
from jaxlm.training.losses import LossInputs, Setting, check_smoothing, model_positions
from jaxlm.typing import Array, Bool, Int, Key


class Examples(NamedTuple):
    """The examples (texts of the corpus, or parts of one) that the segments of packed rows belong to.

    Attributes:
      ids: `Int[B G]`, the example id of each segment; column g - 1 is segment g, 0 where the row has no
        segment g.
      present: `Bool[B G]`, True where the row has a segment of this number.
      left_out: how many segments the rows have beyond the first G.
    """

    ids: Int[Array, "B G"]
    present: Bool[Array, "B G"]
    left_out: Int[Array, ""]


class LabelPlan(NamedTuple):
    """The plan of the objectives of labels: the label of every example, and how inputs are made.

    Attributes:
      targets: by example id, `Int32[examples]` classes or `Float32[examples C]` values in the head's units.
      known: of the same shape, True where the example is labelled.
      num_segments: G, the most segments of a row; see `batch_examples`.
      input_noise: the noise that corrupts what the model reads; None: the model reads clean tokens.
      next_id: id of the token that ends an instruction, for a model with instruction positions; None:
        positions are the indices of tokens in their segments.
      positions_from: whether instruction positions are computed from the "clean" or the "corrupted" token
        ids.
    """

    targets: np.ndarray
    known: np.ndarray
    num_segments: int
    input_noise: corruption.Noise | None = None
    next_id: int | None = None
    positions_from: str = "clean"


def batch_examples(batch: data.Batch, num_segments: int) -> Examples:
    """Returns the example that each segment of packed rows belongs to.

    Args:
      batch: the batch of packed rows.
      num_segments: G, the number of segments of a row that are looked at; static. Segments beyond G are left
        out and counted. For rows of a `data.PackingPlan`, `numpy.diff(plan.row_starts).max()` leaves none
        out.
    """
    segments = jnp.asarray(batch.segments)
    starts = ops.segment_starts(segments, num_segments)
    ids = jnp.take_along_axis(jnp.asarray(batch.example_ids), starts.positions, axis=1)
    beyond = jnp.maximum(segments.max(axis=1) - num_segments, 0).sum(dtype=jnp.int32)
    return Examples(jnp.where(starts.present, ids, 0), starts.present, beyond)


def prepare_labels(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: LabelPlan
) -> LossInputs:
    """Returns the inputs of a classifier or a regression for a batch, and the label of each segment.

    If a record is divided among several rows, each piece counts as an example. Targets and weights are
    `[B G]` for classes and `[B G C]` for values, with G segments in a row. The `fractions` `[B G]` are 0
    without noise; `overflow` counts the segments beyond G.

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      step: number of batches before this one; not used here.
      plan: the labels, the noise, and how positions are computed.
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
    positions = model_positions(batch, tokens, plan.next_id, plan.positions_from)
    return LossInputs(
        tokens=tokens,
        targets=targets,
        weights=counts.astype(jnp.float32),
        fractions=fractions,
        overflow=examples.left_out,
        read=models.Inputs(tokens, segments=jnp.asarray(batch.segments), positions=positions),
    )


def plan_classes(setting: Setting) -> LabelPlan:
    """Returns the plan of a classifier: `Objective.plan` of the classification objective.

    Raises:
      CorpusError: if labels are missing, or a class is not below the head's number of outputs.
      ConfigError: if the label smoothing is "fraction" and there is no noise.
    """
    plan = _plan(setting, *class_table(_labels(setting)))
    check_smoothing(setting.loss.label_smoothing, has_noise=plan.input_noise is not None)
    most, outputs = plan.targets.max(initial=-1), setting.required_head().required_outputs()
    if most >= outputs:
        raise CorpusError(f"classes are numbers below the head's {outputs} outputs: got {most}")
    return plan


def plan_values(setting: Setting) -> LabelPlan:
    """Returns the plan of a regression: `Objective.plan` of the regression objective.

    Raises:
      CorpusError: if labels are missing or infinite.
    """
    head = setting.required_head()
    return _plan(setting, *value_table(_labels(setting), head.center, head.scale))


def class_table(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as int32 `[examples]`, 0 for the unlabelled, and a mask of the labelled ones.

    Raises:
      CorpusError: if they are not whole numbers, one an example.
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
    """Returns labels as float32 `[examples C]`, `(label - center) / scale`, and a mask of the labelled ones.

    Args:
      labels: `[examples]` or `[examples C]`; NaN: unlabelled.
      center: of the head.
      scale: of the head.

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
        index = tuple(infinite[0])
        raise CorpusError(f"labels are finite (NaN: unlabelled): got {values[index]} (example {index[0]})")
    values = values.reshape(len(values), -1)
    return ((np.nan_to_num(values) - center) / scale).astype(np.float32), ~np.isnan(values)


def _labels(setting: Setting) -> np.ndarray:
    labels = setting.splits[0].cache.labels
    if labels is None:
        raise CorpusError("a model of labels is evaluated by labels: got records without")
    return labels


def _plan(setting: Setting, targets: np.ndarray, known: np.ndarray) -> LabelPlan:
    noise = setting.noise(setting.input_noise)
    return LabelPlan(targets, known, setting.num_segments, noise, **setting.positions)
