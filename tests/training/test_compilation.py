"""A second start of the same training compiles nothing."""

import json
import os
import subprocess
import sys

# Counts, up to the first step, what is compiled and what is found on disk.
CHILD = """
import json, sys
from collections import Counter
import jax
from jaxlm import devices, training
seen = Counter()
jax.monitoring.register_event_listener(lambda name, **_: seen.update([name.rsplit("/", 1)[-1]]))
devices.enable_compilation_cache()
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
