"""Memory is a matter of the whole process: each test has one of its own."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from jaxlm.devices import keep_memory
if "keep" in sys.argv:
    assert keep_memory(0.2)
import jax, jax.numpy as jnp
jax.config.update("jax_platforms", "cpu")

@jax.jit
def step(state):
    wide = jnp.broadcast_to(state, (4, 4, state.size))  # 64 MiB of temporaries
    return jax.lax.sort(wide, dimension=0)[0].sum(0)

state = jnp.ones(1 << 20)
for number in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    state = step(state).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(*arguments: str) -> int:
    environment = {**os.environ, "XLA_FLAGS": ""}
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return int(ran.stdout)


@pytest.mark.parametrize("libc", [platform.libc_ver()[0] if sys.platform == "linux" else ""])
def test_pages_are_not_asked_for_anew(libc):
    kept = _faults("keep") if libc == "glibc" else 0
    assert kept < 2000
    if libc == "glibc":
        assert kept * 4 < _faults()


def test_elsewhere_nothing_is_touched(monkeypatch):
    from jaxlm.devices import _memory

    monkeypatch.setattr(_memory.sys, "platform", "darwin")
    monkeypatch.setattr(_memory.ctypes, "CDLL", None)
    assert not _memory.keep_memory()
