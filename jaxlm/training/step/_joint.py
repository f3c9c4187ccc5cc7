"""Joint training: several losses on one model, the weighted sum of the tasks' mean losses."""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm import data
from jaxlm.errors import ConfigError
from jaxlm.training.losses import LossFunction, named_rng
from jaxlm.training.step._totals import Totals, divisor, summed
from jaxlm.typing import Array, Int, Key


class JointTask(NamedTuple):
    """One of the tasks that are trained together on one body, each with its own head.

    Attributes:
      loss: the loss function of the task, see `loss_function`.
      weight: the number that the task's mean loss is multiplied by in the sum over all tasks.
      head: name of the head of a `MultiHeadModel` that the task trains; None: the head has the name of the
        task.

    Example:
      >>> from jaxlm.training import JointTask
      >>> tasks = {"fill": JointTask(loss=print), "label": JointTask(loss=print, weight=0.5, head="class")}
      >>> {name: task.head or name for name, task in tasks.items()}  # the head that each task trains
      {'fill': 'fill', 'label': 'class'}
    """

    loss: LossFunction
    weight: float = 1.0
    head: str | None = None


JointTasks = Mapping[str, JointTask | tuple[LossFunction, float]]
"""Tasks by name; a pair (loss, weight) is short for a task on the head with the task's name."""


def check_tasks(tasks: JointTasks) -> dict[str, JointTask]:
    """Returns the tasks as `JointTask` records.

    Raises:
      ConfigError: if there is no task, a weight is not positive, or a name has a slash, which separates task
        and metric in the names of metrics.
    """
    named = {name: task if isinstance(task, JointTask) else JointTask(*task) for name, task in tasks.items()}
    if not named:
        raise ConfigError("joint training needs at least one task: got none")
    for name, task in named.items():
        if not 0 < task.weight < float("inf"):
            raise ConfigError(f"task {name!r} has a positive weight: got {task.weight}")
        if "/" in name:
            raise ConfigError(f"a task's name has no slash, its metrics are named by one: got {name!r}")
    return named


def joint_totals(
    tasks: Mapping[str, JointTask],
    apply_fn: Callable[..., Any],
    params: Any,
    batch: data.Batch | Mapping[str, data.Batch],
    rngs: Mapping[str, Key[Array, ""]],
    accumulation: int,
    axis_name: str | None,
    step: Int[Array, ""],
) -> Totals:
    """Returns `sum_t weight_t * loss_sum_t / weight_sum_t` and its gradient, over all shards.

    Sums are divided only after they are added up over micro-batches and shards, so that the result does not
    depend on how the batch is divided; a task without targets in the batch adds 0. Each task has its own keys
    for noise and dropout.

    Args:
      tasks: by name.
      apply_fn: `model.apply` of a `MultiHeadModel`; each task calls it with the name of its head.
      params: the model's.
      batch: one for all tasks, or a mapping with one for each.
      rngs: keys "mask" and "dropout".
      accumulation: number of micro-batches; divides the rows of each batch.
      axis_name: of the shards; None for a single shard.
      step: batches before this one.

    Returns:
      `Totals` of weight 1; the metrics are those of each task as `task/metric`, its `loss_sum` and `weight`
      included, and `tokens`, summed over tasks.
    """
    parts = {}
    for name, task in tasks.items():
        call = partial(apply_fn, head=task.head or name)
        rows = batch[name] if isinstance(batch, Mapping) else batch
        own = {kind: named_rng(rng, name) for kind, rng in rngs.items()}
        parts[name] = summed(task.loss, call, params, rows, own, accumulation, step)
    sums = {name: part._replace(gradient=None) for name, part in parts.items()}
    sums = sums if axis_name is None else lax.psum(sums, axis_name)
    factors = {name: tasks[name].weight / divisor(sums[name].weight) for name in tasks}
    scaled = [
        jax.tree.map(lambda leaf, factor=factors[name]: leaf * factor, parts[name].gradient) for name in tasks
    ]
    # The factors are equal on all shards, so the tasks' gradients are added up before they are exchanged.
    gradient = reduce(partial(jax.tree.map, jnp.add), scaled)
    gradient = gradient if axis_name is None else lax.psum(gradient, axis_name)
    losses = [factors[name] * sums[name].loss_sum for name in tasks]
    return Totals(gradient, sum(losses[1:], losses[0]), jnp.ones(()), _named(sums))


def _named(sums: Mapping[str, Totals]) -> dict[str, Array]:
    metrics = {
        f"{name}/{metric}": value
        for name, part in sums.items()
        for metric, value in {**part.metrics, "loss_sum": part.loss_sum, "weight": part.weight}.items()
    }
    tokens = [part.metrics["tokens"] for part in sums.values()]
    return metrics | {"tokens": sum(tokens[1:], tokens[0])}
