"""Devices: how arrays lie on them, what they are, and compiled programs and memory that are kept."""

from jaxlm.devices._compilation import enable_compilation_cache
from jaxlm.devices._layout import AXIS, Layout, fetch, first_replica, local_layout, to_device
from jaxlm.devices._memory import keep_memory
from jaxlm.devices._target import Target, compiling_for, current_target, target_of

__all__ = [
    "AXIS",
    "Layout",
    "Target",
    "compiling_for",
    "current_target",
    "enable_compilation_cache",
    "fetch",
    "first_replica",
    "keep_memory",
    "local_layout",
    "target_of",
    "to_device",
]
