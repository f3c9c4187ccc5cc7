"""One training step as one data shard sees it: sums, one division, one update."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxlm import data
from jaxlm.errors import UsageError
from jaxlm.training.losses import LossFunction, named_rng
from jaxlm.training.step._joint import JointTask, JointTasks, check_tasks, joint_totals
from jaxlm.training.step._optimizer import clip_factor
from jaxlm.training.step._totals import Totals, divisor, summed
from jaxlm.typing import Array, Bool, Int, Key


class TrainState(NamedTuple):
    """Everything that a step reads and writes.

    Attributes:
      step: batches consumed, the good and the bad ones.
      skipped: batches that were not finite and changed no parameter.
      bad_in_row: how many of them came last, one after the other.
      params: float32 parameters.
      opt_state: the optimiser's state; it has counted `step - skipped` updates.
      rng: key of the run, never consumed: masks, dropout and initial parameters are its children.
    """

    step: Int[Array, ""]
    skipped: Int[Array, ""]
    bad_in_row: Int[Array, ""]
    params: Any
    opt_state: Any
    rng: Key[Array, ""]


def init_state(
    model: Any, optimizer: optax.GradientTransformation, rng: Key[Array, ""], *, length: int = 8
) -> TrainState:
    """Returns the state before the first step, the parameters drawn from `rng`.

    Args:
      model: a linen module whose `init(rng, tokens)` creates all its parameters.
      optimizer: its `init` makes the optimiser's state.
      rng: the run's key.
      length: of the row that the shapes are inferred with; no parameter depends on it.
    """

    def init(rng: Key[Array, ""]) -> TrainState:
        params = model.init(named_rng(rng, "init"), jnp.zeros((1, length), jnp.int32))["params"]
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, zero, zero, params, optimizer.init(params), rng)

    return jax.jit(init)(rng)


def make_train_step(
    loss: LossFunction | JointTasks,
    apply_fn: Callable[..., Any],
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: Callable[[Array], Array],
    *,
    clip_norm: float = 0.0,
    accumulation: int = 1,
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Returns the training step, one data shard's view: `train_step(state, batch, *, axis_name=None)`.

    Loss, counts and gradient are summed over micro-batches and, through `axis_name`, over shards, and divided
    by the summed weight last: the update does not depend on how the batch was divided. A batch whose loss or
    gradient is not finite moves `step` and leaves parameters and optimiser as they are.

    With several losses the whole is `sum_t weight_t * loss_sum_t / weight_sum_t`, each quotient of sums
    over all micro-batches and shards (see `JointTask`).

    Args:
      loss: see `loss_function`; or tasks by name, `{"fill": (loss, weight), ...}`, that train
        the heads of these names on one body. Memory holds a gradient for each.
      apply_fn: `model.apply`; of a `MultiHeadModel` for several losses.
      optimizer: turns the mean, clipped gradient into an update.
      schedule: the learning rate as a function of the number of updates, for the metrics.
      clip_norm: largest global norm of the mean gradient; 0 does not clip.
      accumulation: micro-batches; divides the rows of a shard.

    Returns:
      A function to be wrapped in `parallel`, giving the new state and the metrics: the loss's own sums,
      `loss_sum` and `weight` (all 0 for a bad batch but for `tokens`), `bad` (0 or 1), `bad_in_row`,
      `grad_norm` and `learning_rate`, the same on every shard. Of several losses each has its sums as
      `task/loss_sum` and so on, and `loss_sum` is their weighted sum, with `weight` 1; the step's batch may
      then be a mapping of a batch for each.
    """
    totals_of = (
        _joint_totals_of(check_tasks(loss), apply_fn, accumulation)
        if isinstance(loss, Mapping)
        else _totals_of(loss, apply_fn, accumulation)
    )

    def train_step(
        state: TrainState, batch: data.Batch | Mapping[str, data.Batch], *, axis_name: str | None = None
    ) -> tuple[TrainState, dict[str, Array]]:
        shard = 0 if axis_name is None else lax.axis_index(axis_name)
        dropout_rng = jax.random.fold_in(named_rng(state.rng, "dropout"), state.step)
        rngs = {"mask": named_rng(state.rng, "mask"), "dropout": jax.random.fold_in(dropout_rng, shard)}
        totals = totals_of(state, batch, rngs, axis_name)
        share = 1.0 / divisor(totals.weight)
        grad_norm = optax.tree.norm(totals.gradient) * share
        # Division and clipping are one factor, so that no pass over the parameters is for them alone.
        factor = share * clip_factor(grad_norm, clip_norm)
        gradient = jax.tree.map(lambda leaf: leaf * factor, totals.gradient)
        finite = jnp.isfinite(totals.loss_sum) & jnp.isfinite(grad_norm)
        metrics = _metrics(totals, finite) | {
            "grad_norm": jnp.where(finite, grad_norm, jnp.zeros_like(grad_norm)),
            "learning_rate": schedule(state.step - state.skipped),
        }
        state = _updated(state, gradient, optimizer, finite)
        return state, metrics | {"bad_in_row": state.bad_in_row}

    return train_step


def _totals_of(loss: LossFunction, apply_fn: Callable[..., Any], accumulation: int) -> Callable[..., Totals]:
    """Returns the sums of one loss over all shards."""

    def totals(
        state: TrainState,
        batch: data.Batch | Mapping[str, data.Batch],
        rngs: Mapping[str, Key[Array, ""]],
        axis_name: str | None,
    ) -> Totals:
        if isinstance(batch, Mapping):
            raise UsageError("one loss reads one batch: got a mapping of batches; give a loss for each")
        sums = summed(loss, apply_fn, state.params, batch, rngs, accumulation, state.step)
        return sums if axis_name is None else lax.psum(sums, axis_name)

    return totals


def _joint_totals_of(
    tasks: Mapping[str, JointTask], apply_fn: Callable[..., Any], accumulation: int
) -> Callable[..., Totals]:
    """Returns the weighted sum of several losses over all shards."""

    def totals(
        state: TrainState,
        batch: data.Batch | Mapping[str, data.Batch],
        rngs: Mapping[str, Key[Array, ""]],
        axis_name: str | None,
    ) -> Totals:
        return joint_totals(tasks, apply_fn, state.params, batch, rngs, accumulation, axis_name, state.step)

    return totals


def _metrics(totals: Totals, finite: Bool[Array, ""]) -> dict[str, Array]:
    sums = totals.metrics | {"loss_sum": totals.loss_sum, "weight": totals.weight}
    kept = {name: jnp.where(finite, value, jnp.zeros_like(value)) for name, value in sums.items()}
    return kept | {"tokens": sums["tokens"], "bad": (~finite).astype(jnp.int32)}


def _updated(
    state: TrainState,
    gradient: Any,
    optimizer: optax.GradientTransformationExtraArgs,
    finite: Bool[Array, ""],
) -> TrainState:
    """Returns the state after a step; parameters and optimiser move only where `finite`."""
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params, finite=finite)
    # Chosen here too: adding a zero would turn a parameter of -0.0 into 0.0.
    params = jax.tree.map(
        lambda param, change: jnp.where(finite, param + change, param), state.params, updates
    )
    bad = (~finite).astype(jnp.int32)
    return TrainState(
        step=state.step + 1,
        skipped=state.skipped + bad,
        bad_in_row=(state.bad_in_row + 1) * bad,
        params=params,
        opt_state=opt_state,
        rng=state.rng,
    )
