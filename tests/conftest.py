"""Strict promotion, eight CPU devices, and no cache but this run's own."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Corpora and compiled steps go to a folder of this session, never to the user's cache."""
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
