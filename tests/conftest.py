"""Strict promotion, eight CPU devices, no cache but this run's own, and few programs alive at a time."""

import os
from pathlib import Path

# All but the first: a test's time is mostly that of compiling small programs, which need not be fast. The
# last takes the older of two code generators, in half the time; a JAX that has only one ignores it.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jax
import pytest
from _pytest.doctest import DoctestItem
from jax.experimental.compilation_cache import compilation_cache

TESTS = Path(__file__).parent
# Tests of numbers that programs compute: they run once more as users run, with XLA's optimisations.
NUMERICAL = (
    "ops",
    "corruption/test_contract.py",
    "decoding/test_generate.py",
    "models/test_cache.py",
    "models/test_invariances.py",
    "scoring/test_causal.py",
    "training/step/test_optimizer.py",
    "training/step/test_step.py",
)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests that are marked long, too")


def empty_namespace(example):
    """Leaves an example nothing of its module, so that it runs as where a reader pastes it."""
    example.globs = {"__name__": "__main__"}


def pytest_collection_modifyitems(config, items):
    """Leaves the long tests out, rather than skip them: what is skipped is what this machine cannot do."""
    for item in items:
        if isinstance(item, DoctestItem):
            empty_namespace(item.dtest)
        if any(item.path.is_relative_to(TESTS / name) for name in NUMERICAL):
            item.add_marker("numerical")
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Corpora and compiled steps go to a folder of this session, never to the user's cache."""
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    known = jax.config.jax_compilation_cache_dir
    yield
    if jax.config.jax_compilation_cache_dir != known:  # a command in this process turned it on
        jax.config.update("jax_compilation_cache_dir", known)
        compilation_cache.reset_cache()


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Every compiled program holds memory maps, of which Linux grants a process 65,530: a crash beyond."""
    yield
    jax.clear_caches()
