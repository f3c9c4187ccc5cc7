"""What a sequence head reads of a batch: whose segments they are, their noise, the head's outputs.

Letters: `B` rows, `L` positions, `S` segments of a row, `C` outputs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import corruption, data, models, ops
from jaxlm.training._objective import read_positions
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


class SequenceInputs(NamedTuple):
    """A batch as a sequence model reads it.

    Attributes:
      tokens: `Int[B L]` what the model reads.
      examples: whose segments they are.
      fractions: `Float[B S]` what each segment's example was to be corrupted by.
    """

    tokens: Int[Array, "B L"]
    examples: Examples
    fractions: Float[Array, "B S"]


def read_batch(
    rng: Key[Array, ""], batch: data.Batch, input_noise: corruption.Noise | None, num_segments: int
) -> SequenceInputs:
    """Returns a batch as a sequence model reads it, corrupted where there is noise.

    Args:
      rng: key of the run's masks, the same at every step.
      batch: packed rows.
      input_noise: None: clean.
      num_segments: S.
    """
    examples = batch_examples(batch, num_segments)
    tokens, fractions = jnp.asarray(batch.tokens), jnp.zeros(examples.ids.shape, jnp.float32)
    if input_noise is not None:
        corrupted = corruption.corrupt_batch(rng, batch, input_noise)
        starts = ops.segment_starts(jnp.asarray(batch.segments), num_segments)
        at_starts = jnp.take_along_axis(corrupted.fractions, starts.positions, axis=1)
        tokens, fractions = corrupted.tokens, jnp.where(starts.present, at_starts, 0.0)
    return SequenceInputs(tokens, examples, fractions)


def sequence_outputs(
    apply_fn: Callable[..., Any],
    params: Any,
    batch: data.Batch,
    inputs: SequenceInputs,
    *,
    next_id: int | None = None,
    positions_from: str = "clean",
    dropout_rng: Key[Array, ""] | None = None,
) -> models.StandardizedOutputs:
    """Returns what the head makes of each segment of a batch, before its units.

    Args:
      apply_fn: `model.apply` of a `SequenceModel`, or of a `MultiHeadModel` with its head named.
      params: the model's.
      batch: packed rows.
      inputs: the batch as it is read.
      next_id: as in `masked_lm_objective`.
      positions_from: as in `masked_lm_objective`.
      dropout_rng: key of dropout, consumed; None: no dropout.
    """
    deterministic = dropout_rng is None
    # Body and head draw from keys of their own.
    rngs = [{}, {}] if deterministic else [{"dropout": rng} for rng in jax.random.split(dropout_rng)]
    read = models.Inputs(
        tokens=inputs.tokens,
        segments=batch.segments,
        positions=read_positions(batch, inputs.tokens, next_id, positions_from),
    )
    hidden = apply_fn(
        {"params": params},
        read,
        deterministic=deterministic,
        rngs=rngs[0],
    ).hidden
    return apply_fn(
        {"params": params},
        hidden,
        segments=batch.segments,
        num_segments=inputs.examples.ids.shape[1],
        deterministic=deterministic,
        rngs=rngs[1],
        method="standardized_outputs",
    )
