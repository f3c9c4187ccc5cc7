"""The training step of one data shard: sums over micro-batches and shards, one division, one update."""

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
    """The state that a training step updates, a pytree.

    Attributes:
      step: number of batches consumed, including skipped ones.
      skipped: number of batches whose loss or gradient was not finite; they changed no parameter.
      bad_in_row: number of batches that were skipped in a row up to the latest batch; 0 if the latest was not
        skipped.
      params: the float32 parameters.
      opt_state: the state of the optimiser, after `step - skipped` updates.
      rng: the PRNG key of the run. It stays the same: masks, dropout and initial parameters use its children.
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
    """Returns the initial training state, with parameters drawn from `rng`.

    Args:
      model: a linen module whose `init(rng, tokens)` creates all its parameters.
      optimizer: the optimiser, whose `init` makes its state.
      rng: the PRNG key of the run.
      length: number of positions of the row from which the shapes of parameters are inferred; no parameter
        depends on it.
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
    """Returns the training step on one device: `train_step(state, batch, *, axis_name=None)`.

    A device gets a shard of the batch and divides it into micro-batches. Loss, counts and gradient are summed
    over micro-batches and, through `axis_name`, over shards, and only then divided by the summed weight: the
    update does not depend on how the batch is divided. A batch whose loss or gradient is not finite only
    increments counts; parameters and optimiser keep their values.

    With several losses the total is `sum_t weight_t * loss_sum_t / weight_sum_t`, where the sums are over all
    micro-batches and shards (see `JointTask`).

    Args:
      loss: a loss function, see `loss_function`; or a mapping from names to tasks,
        `{"fill": (loss, weight), ...}`, which train the heads of these names on one body (see `JointTask`).
        For several tasks, memory holds one gradient for each.
      apply_fn: `model.apply`; for several tasks, that of a `MultiHeadModel`.
      optimizer: the optimiser, whose `update` gets the mean, clipped gradient and takes `finite=`, as that of
        `make_optimizer` does.
      schedule: the learning rate as a function of the number of updates, which is only reported in the
        metrics.
      clip_norm: largest global norm of the mean gradient; 0 does not clip.
      accumulation: number of micro-batches of a step; it divides the number of rows of a shard.

    Returns:
      A function to be wrapped by `Layout.parallel`. It returns the new state and the metrics, which are equal
      on every shard: the loss function's own sums, `loss_sum` and `weight` (all 0 for a batch that is not
      finite, except `tokens`), `bad` (0 or 1), `bad_in_row`, `grad_norm` and `learning_rate`. For several
      tasks the sums of each are named `task/loss_sum` and so on, `loss_sum` is the weighted total and
      `weight` is 1; the batch may then be a mapping with one batch for each task.
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
        # One factor for division and clipping saves a pass over the gradient.
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
    sums_if_finite = {name: jnp.where(finite, value, jnp.zeros_like(value)) for name, value in sums.items()}
    return sums_if_finite | {"tokens": sums["tokens"], "bad": (~finite).astype(jnp.int32)}


def _updated(
    state: TrainState,
    gradient: Any,
    optimizer: optax.GradientTransformationExtraArgs,
    finite: Bool[Array, ""],
) -> TrainState:
    """Returns the state after a step; if `finite` is False, only the counts change."""
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params, finite=finite)
    # Selected here too, because adding a zero update would turn a parameter of -0.0 into 0.0.
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
