"""A second start of the same training compiles nothing."""

import json
import logging
import os
import subprocess
import sys

import jax

from jaxlm import training

# Counts, up to the first step, what is compiled and what is found on disk.
CHILD = """
import json, sys
from collections import Counter
import jax
from jaxlm import training
seen = Counter()
jax.monitoring.register_event_listener(lambda name, **_: seen.update([name.rsplit("/", 1)[-1]]))
training.enable_compilation_cache()
experiment = training.Experiment.from_dict(json.load(open(sys.argv[1])))
for event in training.train(experiment, sys.argv[2]):
    if isinstance(event, training.Progress):
        print(json.dumps([seen["cache_hits"], seen["cache_misses"], event.loss]))
        break
"""


def first_step(experiment, folder, cache):
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(experiment.to_dict()))
    environment = os.environ | {"JAXLM_CACHE": str(cache), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(child.stdout)


def test_a_second_start_compiles_nothing(changed, tmp_path):
    experiment = changed(steps=2, eval_every=0, save_every=0)
    hits, misses, loss = first_step(experiment, tmp_path / "one", tmp_path / "cache")
    assert misses > 0
    hits, misses, again = first_step(experiment, tmp_path / "two", tmp_path / "cache")
    assert misses == 0 and hits > 0 and again == loss


def test_a_folder_that_jax_already_uses_stays(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    assert before is not None
    assert str(training.enable_compilation_cache()) == before


def test_it_takes_effect_in_a_process_that_has_compiled_before(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        jax.jit(lambda number: number + 1)(1)
        training.enable_compilation_cache(tmp_path)
        jax.jit(lambda number: number * 3 - 1)(1)
        assert any(tmp_path.iterdir())
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        training.enable_compilation_cache(before)


def in_use(place):
    """What is in use after JAX was told of a place by its own variable."""
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", place)
        return training.enable_compilation_cache(), jax.config.jax_compilation_cache_dir
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        training.enable_compilation_cache(before)


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
