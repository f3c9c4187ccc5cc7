"""The device for which a program is compiled, which functions can look up while they are traced."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax


class Target(NamedTuple):
    """A kind of device for which programs are compiled; kernels are chosen by it.

    Attributes:
      platform: "cpu", "gpu" or "tpu".
      capability: the compute capability of an NVIDIA GPU, such as (9, 0). None: the device is no NVIDIA GPU.
      memory: the number of bytes that arrays may take on the device. None: the number is not known.
    """

    platform: str
    capability: tuple[int, int] | None = None
    memory: int | None = None


# Part of the key of JAX's caches: a jitted function is traced once for each target. None: the default device.
_CURRENT = jax.make_user_context(None)


def target_of(device: Any) -> Target:
    """Returns the platform, compute capability and memory of a device as a `Target`.

    Args:
      device: a JAX device. It may also be a described device for ahead-of-time compilation, which this
        machine does not have.

    Example:
      >>> import jax
      >>> from jaxlm.devices import target_of
      >>> target_of(jax.local_devices(backend="cpu")[0])
      Target(platform='cpu', capability=None, memory=None)
    """
    major, _, minor = str(getattr(device, "compute_capability", "")).partition(".")
    capability = (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
    return Target(device.platform, capability, _memory(device))


def current_target() -> Target:
    """Returns the kind of device for which the function that is being traced is compiled.

    Outside of `compiling_for`, and outside of functions from `Layout.parallel`, the result is the kind of
    JAX's default device.

    Example:
      >>> from jaxlm.devices import current_target
      >>> current_target().platform
      'cpu'
    """
    return _CURRENT.value or target_of(_default_device())


@contextlib.contextmanager
def compiling_for(target: Target) -> Iterator[None]:
    """A context manager that makes `current_target` return a target for functions traced in its block.

    Args:
      target: the kind of device on which the program will run, which this machine need not have.

    Example:
      >>> from jaxlm.devices import Target, compiling_for, current_target
      >>> with compiling_for(Target("gpu", (9, 0))):
      ...     current_target().platform
      'gpu'
    """
    # The default device is not set, so that functions traced without a target are not traced again.
    with _CURRENT(None if target == target_of(_default_device()) else target):
        yield


def _default_device() -> jax.Device:
    """JAX's default device: `jax_default_device` (a device or a platform), else the first device."""
    chosen = jax.config.jax_default_device
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return jax.local_devices()[0] if chosen is None else chosen


def _memory(device: Any) -> int | None:
    try:
        known = device.memory_stats() or {}
    except (AttributeError, NotImplementedError, RuntimeError):
        # A device that is only described does not know its memory.
        return None
    return known.get("bytes_limit")
