"""Where arrays live: replicated state, divided batches, and results read from one device's own copy."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxlm.errors import ConfigError

AXIS = "data"


def parallel(
    step: Callable[..., Any], devices: Sequence[jax.Device], *, donate: bool = True
) -> Callable[..., Any]:
    """Returns `step(state, batch)` over all `devices`: state and result replicated, the batch divided.

    One device takes the same way. The state's buffers are reused for the result where `donate`.

    Args:
      step: one shard's view, `step(state, batch, *, axis_name)`, which reduces through the axis that it is
        given.
      devices: local devices.
      donate: whether the state handed in is given up.

    Example:
      >>> import jax.numpy as jnp
      >>> def add(total, rows, *, axis_name):
      ...     return total + jax.lax.psum(rows.sum(), axis_name)
      >>> devices = jax.local_devices()[:1]
      >>> float(fetch(parallel(add, devices)(replicate(jnp.zeros(()), devices), divide(np.ones((2, 3)), 1))))
      6.0
    """
    return jax.pmap(
        partial(step, axis_name=AXIS),
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=None,
        devices=list(devices),
        donate_argnums=(0,) if donate else (),
    )


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Returns the tree with a copy of every array on each device; the arrays keep their shapes."""
    mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def divide(batch: Any, num_devices: int) -> Any:
    """Returns a host batch with its rows divided: `[B ...]` becomes `[devices, B / devices, ...]`.

    Example:
      >>> divide(np.zeros((8, 3)), 4).shape
      (4, 2, 3)
    """
    return jax.tree.map(lambda leaf: leaf.reshape(num_devices, -1, *leaf.shape[1:]), batch)


def fetch(tree: Any) -> Any:
    """Returns host copies of replicated arrays, read from the first device's own copy: nothing is gathered.

    The copies are the caller's: donating the arrays later does not touch them.
    """
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data), tree)


def check_divides(batch_size: int, num_devices: int, accumulation: int) -> None:
    """Raises ValueError if a batch cannot be divided over the devices and into micro-batches."""
    parts = num_devices * accumulation
    if batch_size % parts:
        raise ConfigError(
            f"run.batch_size is a multiple of {num_devices} devices x {accumulation} micro-batches: "
            f"got {batch_size}, take {max(1, batch_size // parts) * parts}"
        )
