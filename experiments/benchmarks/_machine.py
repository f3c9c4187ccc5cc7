"""The machine and the versions that a number belongs to."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

# Dense bfloat16 peaks in FLOP/s, from the vendor's data sheets; an unknown device has no MFU.
PEAKS = {"H100": 989.4e12, "H200": 989.4e12}


def describe() -> dict:
    """Returns CPU, cores, accelerators and versions as they are reported here."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": _gpus(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in ("jax", "flax", "torch", "transformers")},
    }


def peak_flops(device: str) -> float | None:
    """Returns the peak of a device by its name, None where it is not known.

    >>> peak_flops("NVIDIA H200"), peak_flops("cpu")
    (989400000000000.0, None)
    """
    return next((peak for name, peak in PEAKS.items() if name in device), None)


def _version(name: str) -> str | None:
    """The version of a package, None of a peer that is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    flags, name = set(), platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() == "flags":
            flags = set(value.split())
    kinds = [kind for kind in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if kind in flags]
    return f"{name} ({', '.join(kinds)})"


def _gpus() -> list[str]:
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    except (OSError, subprocess.CalledProcessError):
        return []
