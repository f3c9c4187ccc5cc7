"""What a program is compiled for is what its Layout says, and jitted functions are traced for it."""

from typing import NamedTuple

import jax
import pytest

from jaxlm.devices import Target, compiling_for, current_target, target_of


class Device(NamedTuple):
    """As much of a device of JAX as is looked at."""

    platform: str
    compute_capability: str | None
    stats: dict | Exception | None

    def memory_stats(self):
        if isinstance(self.stats, Exception):
            raise self.stats
        return self.stats


@pytest.mark.parametrize(
    ("device", "target"),
    [
        (Device("gpu", "9.0", {"bytes_limit": 1 << 37}), Target("gpu", (9, 0), 1 << 37)),
        (Device("gpu", "10.0", RuntimeError("only described")), Target("gpu", (10, 0), None)),
        (Device("gpu", "gfx942", {}), Target("gpu", None, None)),
        (Device("tpu", None, None), Target("tpu", None, None)),
    ],
)
def test_a_device_tells_what_it_is(device, target):
    assert target_of(device) == target


def test_the_default_device_is_the_target_where_nothing_is_said():
    assert current_target() == target_of(jax.local_devices()[0])


@pytest.mark.parametrize("chosen", ["cpu", 3])
def test_the_default_device_is_the_one_that_was_chosen(chosen, monkeypatch):
    asked, known = [], jax.local_devices()
    monkeypatch.setattr("jaxlm.devices._target.target_of", lambda one: asked.append(one) or Target("cpu"))
    with jax.default_device(known[chosen] if isinstance(chosen, int) else chosen):
        current_target()
    assert asked == [known[chosen] if isinstance(chosen, int) else known[0]]


def test_a_target_holds_inside_its_block_only():
    with compiling_for(Target("gpu", (9, 0))):
        with compiling_for(Target("tpu")):
            assert current_target() == Target("tpu")
        with compiling_for(target_of(jax.local_devices()[0])):
            assert current_target().platform == "cpu"
        assert current_target() == Target("gpu", (9, 0))
    assert current_target().platform == "cpu"


def test_a_jitted_function_is_traced_once_for_each_target():
    seen = []

    @jax.jit
    def told(number):
        seen.append(current_target().platform)
        return number

    for target in (Target("gpu", (9, 0)), target_of(jax.local_devices()[0])) * 2:
        told(1)
        with compiling_for(target):
            told(1)
    assert sorted(seen) == ["cpu", "gpu"]
