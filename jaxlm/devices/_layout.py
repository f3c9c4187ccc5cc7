"""Where arrays live: replicated state, divided batches, and functions mapped over the devices."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm.devices._target import Target, compiling_for, target_of
from jaxlm.errors import UsageError

# The one axis of the mesh: what is divided over the devices is data.
AXIS = "data"


class Layout(NamedTuple):
    """Devices as a mesh of one axis, over which batches are divided; everything else has a copy on each.

    Attributes:
      devices: local devices, in the order of the axis.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> from jaxlm.devices import fetch, local_layout
      >>> import jax.numpy as jnp
      >>> layout = local_layout()
      >>> def add(total, rows, *, axis_name):
      ...     return total + jax.lax.psum(rows.sum(), axis_name)
      >>> mapped = layout.parallel(add, (False, True), is_reduced=True)
      >>> rows = np.ones((len(layout.devices), 3))
      >>> int(fetch(mapped(layout.replicate(jnp.zeros(())), layout.divide(rows)))) == rows.size
      True
    """

    devices: tuple[jax.Device, ...]

    @property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices by name of axis."""
        return jax.sharding.Mesh(np.asarray(self.devices), (AXIS,))

    @property
    def target(self) -> Target:
        """What programs are compiled for here."""
        return target_of(self.devices[0])

    def describe(self) -> str:
        """Returns e.g. "1 x cpu" or "8 x NVIDIA H100"."""
        return f"{len(self.devices)} x {self.devices[0].device_kind}"

    def replicate(self, tree: Any) -> Any:
        """Returns the tree with a copy of every array on each device; the arrays keep their shapes."""
        everywhere = jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec())
        return jax.device_put(tree, everywhere)

    def divide(self, batch: Any, *, axis: int = 0) -> Any:
        """Returns a host batch with its rows divided: `[B ...]` becomes `[devices, B / devices, ...]`.

        Args:
          batch: arrays on the host; B is a multiple of the devices.
          axis: which one is B; that of the devices is first all the same.

        Example:
          >>> import jax
          >>> import numpy as np
          >>> from jaxlm.devices import local_layout
          >>> local_layout().divide(np.zeros((2, 8 * jax.local_device_count(), 3)), axis=1).shape[1:]
          (2, 8, 3)
        """
        num = len(self.devices)

        def divided(leaf: np.ndarray) -> np.ndarray:
            before, after = leaf.shape[:axis], leaf.shape[axis + 1 :]
            return np.moveaxis(leaf.reshape(*before, num, -1, *after), axis, 0)

        return jax.tree.map(divided, batch)

    def parallel(
        self,
        function: Callable[..., Any],
        divided: Sequence[bool],
        *,
        is_reduced: bool = False,
        donate: Sequence[int] = (),
    ) -> Callable[..., Any]:
        """Returns a compiled function that runs on all devices at once, each on its part of what is divided.

        The result has `lower`, as of `jax.jit`. One device takes the same way as many.

        Args:
          function: one device's view.
          divided: for each argument, whether its arrays have a leading axis of the devices, of which each
            device is given its own entry; the others are replicated.
          is_reduced: whether the function reduces over the devices: it is given the axis as `axis_name`, and
            its results are replicated. Other results have a leading axis of the devices.
          donate: places of the arguments whose buffers are given up for the results.
        """
        return jax.pmap(
            self._traced(functools.partial(function, axis_name=AXIS) if is_reduced else function),
            axis_name=AXIS,
            in_axes=tuple(0 if one else None for one in divided),
            out_axes=None if is_reduced else 0,
            devices=list(self.devices),
            donate_argnums=tuple(donate),
        )

    def _traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which knows its target while it is traced."""

        def traced(*arguments: Any) -> Any:
            with compiling_for(self.target):
                return function(*arguments)

        return traced


def local_layout(devices: Any = None, *, rows: int | None = None) -> Layout:
    """Returns the layout of devices of this process.

    Args:
      devices: some of `jax.local_devices()`; None: all of them.
      rows: of a batch; of all devices as many are taken as divide it. None: all.

    Raises:
      UsageError: if there is none, something else is given, or the devices that are asked for do not divide
        the rows.

    Example:
      >>> from jaxlm.devices import local_layout
      >>> local_layout([])
      Traceback (most recent call last):
      jaxlm.errors.UsageError: devices are some of jax.local_devices(): got []
    """
    if devices is None:
        known = jax.local_devices()
        count = next(num for num in range(len(known), 0, -1) if rows is None or rows % num == 0)
        return Layout(tuple(known[:count]))
    listed = tuple(devices) if isinstance(devices, Iterable) else ()
    if not listed or not all(isinstance(device, jax.Device) for device in listed):
        raise UsageError(f"devices are some of jax.local_devices(): got {devices!r}")
    if rows is not None and rows % len(listed):
        raise UsageError(f"batch_size is a multiple of the {len(listed)} devices, got {rows}")
    return Layout(listed)


def fetch(tree: Any) -> Any:
    """Returns host copies of arrays; a replicated one is read from the first device, and nothing is gathered.

    The copies are the caller's: donating the arrays later does not touch them.
    """

    def copied(leaf: jax.Array) -> np.ndarray:
        is_copied = leaf.sharding.is_fully_replicated
        return np.array(leaf.addressable_shards[0].data if is_copied else leaf)

    return jax.tree.map(copied, tree)


def to_device(array: np.ndarray) -> jax.Array:
    """Returns an array of the host on the default device; a CPU keeps the memory where it is aligned."""
    return jax.device_put(array)
