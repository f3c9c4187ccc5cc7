"""Compiled programs are kept in a folder, and where none can be made a line says so."""

import logging
import os

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxlm.devices import enable_compilation_cache


@pytest.fixture(scope="module", autouse=True)
def _known_cache(tmp_path_factory):
    """JAX knows a folder already, and afterwards the one that it knew before."""
    before = jax.config.jax_compilation_cache_dir
    enable_compilation_cache(tmp_path_factory.mktemp("compiled"))
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def test_a_folder_that_jax_already_uses_stays(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    assert before is not None
    assert str(enable_compilation_cache()) == before


def test_it_takes_effect_in_a_process_that_has_compiled_before(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        jax.jit(lambda number: number + 1)(1)
        enable_compilation_cache(tmp_path)
        jax.jit(lambda number: number * 3 - 1)(1)
        assert any(tmp_path.iterdir())
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        enable_compilation_cache(before)


def in_use(place):
    """What is in use after JAX was told of a place by its own variable."""
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", place)
        return enable_compilation_cache(), jax.config.jax_compilation_cache_dir
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        enable_compilation_cache(before)


def test_an_address_is_left_to_jax(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for address in ("gs://bucket/programs", "s3://bucket/programs", f"file://{tmp_path}/programs"):
        assert in_use(address) == (address, address)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_made_is_a_line(tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING, "jaxlm"):
        assert in_use(str(tmp_path / "file" / "programs")) == (None, None)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("no cache of compiled programs at ") and "each start compiles anew" in line


def test_a_cache_that_may_not_be_written_is_a_line(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with caplog.at_level(logging.WARNING, "jaxlm"):
        assert in_use(str(tmp_path)) == (str(tmp_path), str(tmp_path))
    assert "may not be written: what is new is not kept" in caplog.text
