"""How arrays lie on devices: replicated state, divided batches, and functions mapped over devices."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm.devices._target import Target, compiling_for, target_of
from jaxlm.errors import UsageError

# The name of the only mesh axis, over which batches are divided.
AXIS = "data"


class Layout(NamedTuple):
    """Local devices for data parallelism: batches are divided over them, other arrays are replicated.

    The devices form a JAX mesh with one axis, whose name is `AXIS` ("data").

    Attributes:
      devices: the JAX devices, in their order along the axis of the mesh.

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
        """The JAX mesh of the devices, with the one axis `AXIS`."""
        return jax.sharding.Mesh(np.asarray(self.devices), (AXIS,))

    @property
    def target(self) -> Target:
        """The kind of device for which programs of this layout are compiled: that of the first device."""
        return target_of(self.devices[0])

    def describe(self) -> str:
        """Returns the number and kind of the devices, such as "1 x cpu" or "8 x NVIDIA H100"."""
        return f"{len(self.devices)} x {self.devices[0].device_kind}"

    def replicate(self, tree: Any) -> Any:
        """Returns a tree with every array copied to all devices; shapes do not change."""
        everywhere = jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec())
        return jax.device_put(tree, everywhere)

    def divide(self, batch: Any, *, axis: int = 0) -> Any:
        """Returns a host batch with its B rows divided: `[B ...]` becomes `[devices, B / devices, ...]`.

        Args:
          batch: a tree of NumPy arrays. B must be a multiple of the number of devices.
          axis: the index of the axis B in every array. The new axis of devices is always the first.

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
        """Returns a compiled function that runs on all devices, each with its part of the divided arguments.

        The compiled function has a method `lower`, like the result of `jax.jit`. With a single device, arrays
        have an axis of devices of length 1.

        Args:
          function: the function that one device computes, of arrays without an axis of devices.
          divided: for each argument, whether its arrays have a leading axis of devices (see `divide`), so
            that each device gets its own entry. False: every device gets the whole argument (see
            `replicate`).
          is_reduced: whether the function reduces over the devices, for example by `jax.lax.psum`. If so, it
            gets the name of the axis as the keyword argument `axis_name`, and its results are replicated. If
            not, results have a leading axis of devices.
          donate: indices of the arguments whose buffers may be reused for the results.
        """
        return jax.pmap(
            self._traced(functools.partial(function, axis_name=AXIS) if is_reduced else function),
            axis_name=AXIS,
            in_axes=tuple(0 if is_divided else None for is_divided in divided),
            out_axes=None if is_reduced else 0,
            devices=list(self.devices),
            donate_argnums=tuple(donate),
        )

    def _traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with the layout's target as the current one while it is traced."""

        def traced(*arguments: Any) -> Any:
            with compiling_for(self.target):
                return function(*arguments)

        return traced


def local_layout(devices: Any = None, *, rows: int | None = None) -> Layout:
    """Returns a layout of devices that belong to this process.

    Args:
      devices: some of `jax.local_devices()`. None: all local devices, or the largest number of them that
        divides `rows`.
      rows: the number of rows in a batch. None: the number of rows is not checked.

    Raises:
      UsageError: `devices` is empty or holds something other than devices, or `rows` is not a multiple of the
        number of devices.

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
    """Returns a tree of JAX arrays as NumPy arrays; a replicated array is read from the first device alone.

    The NumPy arrays are copies: donating the JAX arrays later does not change them.
    """

    def copied(leaf: jax.Array) -> np.ndarray:
        is_copied = leaf.sharding.is_fully_replicated
        return np.array(leaf.addressable_shards[0].data if is_copied else leaf)

    return jax.tree.map(copied, tree)


def first_replica(tree: Any) -> Any:
    """Returns a tree of replicated JAX arrays as arrays of the first device, without copies.

    Donating the replicated arrays later deletes the returned ones, too.
    """
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, tree)


def to_device(array: np.ndarray) -> jax.Array:
    """Returns a NumPy array as a JAX array on the default device.

    A CPU uses the same memory without a copy if the memory is aligned.
    """
    return jax.device_put(array)
