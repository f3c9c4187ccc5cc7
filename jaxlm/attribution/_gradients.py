"""Gradients of all explained predictions with respect to the vectors that the model reads.

One forward pass serves all predictions of a row, and one backward pass gives the gradients of one prediction
of every row. Letters: `R` runs of the model, `B` rows, `L` positions, `M` explained predictions of a row,
`D` width.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxlm import steps
from jaxlm.attribution._chunks import map_chunks
from jaxlm.attribution._explained import Explained, make_explained
from jaxlm.attribution._method import MethodTask
from jaxlm.attribution._predictions import Sides
from jaxlm.attribution._reading import Reading
from jaxlm.typing import Array, Float, Int

# From the gradients of one prediction of each row to what is kept of them, such as `[B L]`.
GradientReduction = Callable[[Sides], Sides]


def start_of(task: MethodTask) -> tuple[Reading, Explained]:
    """Returns the two halves of what is explained: vectors to hidden vectors, and those to the step function.

    Args:
      task: the argument of a method. Where its settings have a `layer` and a `site`, the vectors are there.
    """
    settings = task.settings
    reading = Reading(task.model, task.params, task.inputs, dropout_rng=task.predictions.dropout_rng)
    if getattr(settings, "layer", None) is not None:
        reading = reading._replace(layer=settings.layer, site=settings.site)
    step = steps.step_function(task.step)
    return reading, make_explained(task.model, task.params, step, task.predictions)


def gradient_scores(
    task: MethodTask, reading: Reading, explained: Explained, vectors: Sides, reduce: GradientReduction
) -> tuple[Sides, Float[Array, "B M"]]:
    """Returns what is kept of the gradients of all predictions, and the values of the step function.

    Args:
      task: says how many predictions are computed at once, and whether those of a row count as one.
      reading: from vectors to hidden vectors.
      explained: from hidden vectors to the step function.
      vectors: where the gradients are taken.
      reduce: from gradients of one prediction, `[B L D]` of each side, to what is kept, `[B L ...]`.

    Returns:
      `Sides` of `Float32[B L M ...]`, and `Float32[B M]`.
    """
    hidden, pull = jax.vjp(reading.hidden, vectors)
    values, slopes = explained.slopes(hidden)
    scores = pulled_scores(task, hidden, slopes, pull, reduce)
    return scores, values.sum(1, keepdims=True) if task.is_span else values


def pulled_scores(
    task: MethodTask,
    hidden: Float[Array, "R B L D"],
    slopes: Float[Array, "R B M D"],
    pull: Callable[[Array], tuple[Sides]],
    reduce: GradientReduction,
) -> Sides:
    """Returns what is kept of all predictions' slopes, once they are pulled back to the vectors.

    Args:
      task: says how many predictions are computed at once, and whether those of a row count as one.
      hidden: the hidden vectors, for their shape and dtype.
      slopes: of each prediction with respect to the hidden vectors at its own position.
      pull: from cotangents of the hidden vectors to those of the vectors, as `jax.vjp` returns it.
      reduce: as for `gradient_scores`.

    Returns:
      `Sides` of `Float32[B L M ...]`.
    """
    positions = task.predictions.positions

    def one(index: Int[Array, ""]) -> Sides:
        if task.is_span:
            upstream = _at_all(slopes, positions, hidden)
        else:
            own, where = jnp.take(slopes, index, axis=2), jnp.take(positions, index, axis=1)
            is_there = jnp.arange(hidden.shape[2], dtype=where.dtype)[None] == where[:, None]
            upstream = jnp.where(is_there[None, :, :, None], own[:, :, None].astype(hidden.dtype), 0)
        return reduce(pull(upstream)[0])

    num = 1 if task.is_span else positions.shape[1]
    count = None if task.is_span or task.counts is None else task.counts.predictions
    return predictions_last(map_chunks(jax.vmap(one), num, task.chunk, count))


def predictions_last(sides: Any) -> Any:
    """Returns `[M B L ...]` arrays of both sides as `[B L M ...]`."""
    return jax.tree.map(lambda array: jnp.moveaxis(array, 0, 2), sides)


def weighted_sum(first: Sides, second: Sides) -> Sides:
    """Returns the product of two arrays of each side, summed over the last axis: `[B L D]` to `[B L]`."""
    return jax.tree.map(lambda one, other: (one * other).sum(-1), first, second)


def _at_all(
    slopes: Float[Array, "R B M D"], positions: Int[Array, "B M"], hidden: Float[Array, "R B L D"]
) -> Float[Array, "R B L D"]:
    """The slopes of all predictions, each at its position; several at one position are added."""
    length = hidden.shape[2]
    is_at = positions[:, None, :] == jnp.arange(length, dtype=positions.dtype)[None, :, None]
    return jnp.einsum("blm,rbmd->rbld", is_at.astype(slopes.dtype), slopes, precision="highest").astype(
        hidden.dtype
    )
