"""Ensembles: members that train in one step, as independent models or as heads on one shared body.

Letters: `E` members, `B` rows, `L` positions.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxlm import data, models
from jaxlm.errors import UsageError
from jaxlm.training.losses import LossFunction, named_rng
from jaxlm.training.step._step import TrainState, init_state, make_train_step
from jaxlm.typing import Array, Key


def member_rngs(rng: Key[Array, ""], members: int) -> Key[Array, " E"]:
    """Returns one PRNG key for each member; a member's key does not depend on the number of members.

    Example:
      >>> import jax
      >>> from jaxlm.training import member_rngs
      >>> keys = [member_rngs(jax.random.key(0), members) for members in (2, 3)]
      >>> bool((keys[0] == keys[1][:2]).all())
      True
    """
    own = named_rng(rng, "members")
    return jax.vmap(lambda member: jax.random.fold_in(own, member))(jnp.arange(members))


def init_ensemble(
    model: Any,
    optimizer: optax.GradientTransformation,
    rng: Key[Array, ""],
    members: int,
    *,
    shared_body: bool = False,
    length: int = 8,
) -> TrainState:
    """Returns the initial state of E members, each drawn from its own key.

    The members are copies of one model with different initial parameters. If they are independent, every
    array of the state has a leading axis E, counts and keys included: member e equals `init_state(model,
    optimizer, member_rngs(rng, E)[e])`; train them with `ensemble_step`. With a `shared_body`, only
    parameters outside of `body` have this axis; train them with `make_shared_body_step`.

    Args:
      model: a linen module; for a shared body, a module whose parameters are `body` and others.
      optimizer: the optimiser, whose `init` makes its state.
      rng: the PRNG key of the run.
      members: E, the number of members.
      shared_body: whether the members are separate heads on one common body.
      length: number of positions of the row from which the shapes of parameters are inferred.

    Raises:
      UsageError: if `members` is below 1.
    """
    if members < 1:
        raise UsageError(f"an ensemble has at least one member: got {members}")
    rngs = member_rngs(rng, members)
    states = jax.vmap(lambda rng: init_state(model, optimizer, rng, length=length))(rngs)
    if not shared_body:
        return states
    params = {**states.params, models.BODY: jax.tree.map(lambda leaf: leaf[0], states.params[models.BODY])}
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, zero, zero, params, optimizer.init(params), rng)


def ensemble_step(train_step: Callable[..., Any]) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Returns the training step of independent members: `train_step` of all members at once.

    Each member trains exactly as it would alone: with its own key, batch, mean loss, clipping and handling of
    batches that are not finite.

    Args:
      train_step: the step of one member, from `make_train_step`.

    Returns:
      A function `step(state, batch, *, axis_name=None)`, which takes a state from `init_ensemble` and a batch
      `[E B L]` and returns the state and metrics with a leading axis E. A batch `[B L]` is given to every
      member. For several objectives, the batch may be a mapping with one batch for each. Wrap the function by
      a `Layout` like any step; `layout.divide(batch, axis=1)` divides the batches.
    """

    def step(
        state: TrainState, batch: data.Batch | Mapping[str, data.Batch], *, axis_name: str | None = None
    ) -> tuple[TrainState, dict[str, Array]]:
        axes = (0, 0 if has_members(batch) else None)
        return jax.vmap(partial(train_step, axis_name=axis_name), in_axes=axes)(state, batch)

    return step


def make_shared_body_step(
    loss: LossFunction,
    apply_fn: Callable[..., Any],
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: Callable[[Array], Array],
    *,
    clip_norm: float = 0.0,
    accumulation: int = 1,
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Returns the step of separate heads on one body; its loss is the mean over all members' targets.

    Args:
      loss: the loss function of one member, see `loss_function`.
      apply_fn: `model.apply` of one member's model.
      optimizer: the optimiser; its `update` takes `finite=`, as that of `make_optimizer` does.
      schedule: the learning rate as a function of the number of updates, which is only reported in the
        metrics.
      clip_norm: largest global norm of the mean gradient; 0 does not clip.
      accumulation: number of micro-batches of a step; it divides the number of rows of a shard.

    Returns:
      A function `step(state, batch, *, axis_name=None)`, which takes a state from
      `init_ensemble(..., shared_body=True)` and a batch `[E B L]`: each member reads its part with its own
      key. A batch `[B L]` is given to every member with one key; then the body runs once, and the heads
      differ only by their initial parameters. The metrics are those of `make_train_step`, summed over the
      members, and `member_loss_sum` and `member_weight`, `[E]` each.
    """
    steps = {
        own_batches: make_train_step(
            _shared_body_loss(loss, own_batches),
            apply_fn,
            optimizer,
            schedule,
            clip_norm=clip_norm,
            accumulation=accumulation,
        )
        for own_batches in (False, True)
    }

    def step(
        state: TrainState, batch: data.Batch, *, axis_name: str | None = None
    ) -> tuple[TrainState, dict[str, Array]]:
        own_batches = has_members(batch)
        if own_batches:
            # Rows first: micro-batches are parts of the first axis.
            batch = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), batch)
        return steps[own_batches](state, batch, axis_name=axis_name)

    return step


def stack_batches(batches: Sequence[Any]) -> Any:
    """Returns the members' host batches (or mappings of batches) stacked into arrays `[E B ...]`.

    Example:
      >>> import numpy as np
      >>> from jaxlm import data
      >>> from jaxlm.training import stack_batches
      >>> rows = np.zeros((3, 4), np.int32)
      >>> batch = data.Batch(rows, rows, rows, rows, rows, np.zeros(3, np.int32))
      >>> stacked = stack_batches([batch, batch])
      >>> stacked.tokens.shape, stacked.epochs.shape
      ((2, 3, 4), (2, 3))
    """
    return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)


def has_members(batch: data.Batch | Mapping[str, data.Batch]) -> bool:
    """Whether a batch, or each batch of a mapping, has a member axis: `[E B L]`, not `[B L]`."""
    first = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
    return jnp.ndim(first.tokens) == 3


def _shared_body_loss(loss: LossFunction, own_batches: bool) -> LossFunction:
    """Returns the loss summed over members; all parameters outside `body` have a leading axis E."""

    def shared(apply_fn, params, batch, rngs, step):
        axes = {name: None if name == models.BODY else 0 for name in params}
        members = jax.tree.leaves({name: params[name] for name in params if name != models.BODY})[0].shape[0]
        if own_batches:
            rngs = {name: member_rngs(rng, members) for name, rng in rngs.items()}
        loss_sums, weights, metrics = jax.vmap(
            partial(loss, apply_fn), in_axes=(axes, *((1, 0) if own_batches else (None, None)), None)
        )(params, batch, rngs, step)
        metrics = jax.tree.map(lambda leaf: leaf.sum(0), metrics)
        metrics |= {"member_loss_sum": loss_sums, "member_weight": weights}
        return loss_sums.sum(), weights.sum(), metrics

    return shared
