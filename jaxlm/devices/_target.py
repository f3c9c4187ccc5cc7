"""What a program is compiled for: functions that choose by the device ask here while they are traced."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax


class Target(NamedTuple):
    """A kind of device.

    Attributes:
      platform: "cpu", "gpu" or "tpu".
      capability: of an NVIDIA GPU its compute capability, such as (9, 0); None elsewhere.
      memory: bytes of a device that arrays may take; None where the device does not tell.
    """

    platform: str
    capability: tuple[int, int] | None = None
    memory: int | None = None


# Part of the key of JAX's caches: a jitted function is traced once for each target. None: the default device.
_ASKED = jax.make_user_context(None)


def target_of(device: Any) -> Target:
    """Returns what a device is.

    Args:
      device: of JAX; it may be one that is only described, to compile for.

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
    """Returns what the function that is traced just now is compiled for.

    Outside `compiling_for`, and so outside what a `Layout` maps, that is JAX's default device.

    Example:
      >>> from jaxlm.devices import current_target
      >>> current_target().platform
      'cpu'
    """
    return _ASKED.value or target_of(_default_device())


@contextlib.contextmanager
def compiling_for(target: Target) -> Iterator[None]:
    """Makes a target the current one for what is traced inside the block.

    Args:
      target: of the devices that the program will run on.

    Example:
      >>> from jaxlm.devices import Target, compiling_for, current_target
      >>> with compiling_for(Target("gpu", (9, 0))):
      ...     current_target().platform
      'gpu'
    """
    # Of the default device nothing is said, so that what was traced without a word is not traced again.
    with _ASKED(None if target == target_of(_default_device()) else target):
        yield


def _default_device() -> jax.Device:
    """Where JAX computes unless it is told: `jax_default_device`, a device or a platform, or the first."""
    chosen = jax.config.jax_default_device
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return jax.local_devices()[0] if chosen is None else chosen


def _memory(device: Any) -> int | None:
    try:
        known = device.memory_stats() or {}
    except (AttributeError, NotImplementedError, RuntimeError):
        # A device that is only described has no memory to ask for.
        return None
    return known.get("bytes_limit")
