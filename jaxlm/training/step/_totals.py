"""Sums of a loss and of its gradient over the micro-batches of a shard."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm import data
from jaxlm.training.losses import LossFunction
from jaxlm.typing import Array, Float, Int, Key


class Totals(NamedTuple):
    """Sums over a batch.

    Attributes:
      gradient: of `loss_sum` by the parameters; a tree like them.
      loss_sum: sum of the losses times their weights.
      weight: sum of the weights.
      metrics: further sums by name.
    """

    gradient: Any
    loss_sum: Float[Array, ""]
    weight: Float[Array, ""]
    metrics: dict[str, Array]


def divisor(weight: Float[Array, ""]) -> Float[Array, ""]:
    """Returns the divisor of sums: their weight, or 1 where the weight is 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.training.step._totals import divisor
      >>> [float(divisor(jnp.float32(weight))) for weight in (0.25, 0.0)]
      [0.25, 1.0]
    """
    return jnp.where(weight > 0, weight, jnp.ones_like(weight))


def summed(
    loss: LossFunction,
    apply_fn: Callable[..., Any],
    params: Any,
    batch: data.Batch,
    rngs: Mapping[str, Key[Array, ""]],
    accumulation: int,
    step: Int[Array, ""],
) -> Totals:
    """Returns the sums over the micro-batches of one shard.

    Args:
      loss: see `loss_function`.
      apply_fn: `model.apply`.
      params: the parameters by which the loss is differentiated.
      batch: the shard's rows.
      rngs: keys "mask", the same for all micro-batches, and "dropout", of which each uses its own child.
      accumulation: number of micro-batches; divides the rows.
      step: batches before this one.
    """

    def loss_fn(params: Any, rows: data.Batch, rngs: Mapping[str, Key[Array, ""]]) -> tuple[Array, tuple]:
        loss_sum, weight, metrics = loss(apply_fn, params, rows, rngs, step)
        return loss_sum, (weight, metrics)

    def totals(rows: data.Batch, rngs: Mapping[str, Key[Array, ""]]) -> Totals:
        (loss_sum, (weight, metrics)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(
            params, rows, rngs
        )
        return Totals(gradient, loss_sum, weight, metrics)

    if accumulation == 1:
        return totals(batch, rngs)
    parts = jax.tree.map(lambda leaf: leaf.reshape(accumulation, -1, *leaf.shape[1:]), batch)

    def add(carry: Totals, part: tuple) -> tuple[Totals, None]:
        index, rows = part
        dropout_rng = jax.random.fold_in(rngs["dropout"], index)
        return jax.tree.map(jnp.add, carry, totals(rows, {**rngs, "dropout": dropout_rng})), None

    first = jax.tree.map(lambda leaf: leaf[0], parts)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(totals, first, rngs))
    return lax.scan(add, zeros, (jnp.arange(accumulation), parts))[0]
