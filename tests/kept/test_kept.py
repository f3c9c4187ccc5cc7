"""Runs and jobs of an earlier version: they open, go on, and end as that version ended them.

What was made by the same JAX on the same processor is the same to the last bit; elsewhere programs add in
another order, and the numbers are close.
"""

import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from jaxlm import pretrained, training
from tests.kept import make

# Adam divides a gradient by its own size: of one that is all but zero, rounding alone decides the
# direction of a step. Four steps at the default rate of 1e-3 move such a parameter by 8e-3 at most.
FREE = 8e-3


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    with tarfile.open(make.ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def is_same_machine(kept):
    return json.loads((kept / "environment.json").read_text()) == make.environment()


@pytest.mark.parametrize("name", make.EXPERIMENTS)
def test_a_run_opens(kept, name):
    loaded = pretrained.load(kept / "runs" / name)
    stored = safetensors.numpy.load_file(kept / "runs" / name / "model.safetensors")
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(loaded.params))
    assert sizes == sorted(array.size for array in stored.values())
    total = sum(float(np.abs(leaf).sum(dtype=np.float64)) for leaf in jax.tree.leaves(loaded.params))
    assert total == pytest.approx(sum(np.abs(array).sum(dtype=np.float64) for array in stored.values()))


@pytest.mark.parametrize("name", make.EXPERIMENTS)
def test_a_run_goes_on_to_the_same_parameters(kept, is_same_machine, name, monkeypatch):
    monkeypatch.chdir(kept)
    folder = Path("cut/runs", name)
    experiment = training.load_experiment(folder)
    assert experiment == training.Experiment.from_dict(make.EXPERIMENTS[name])
    events = list(training.train(experiment, folder, resume=True, devices=jax.local_devices()[:1]))
    assert [event.step for event in events if isinstance(event, training.Started)] == [4]
    ended = safetensors.numpy.load_file(folder / "model.safetensors")
    whole = safetensors.numpy.load_file(Path("runs", name, "model.safetensors"))
    assert sorted(ended) == sorted(whole)
    for tensor, array in whole.items():
        if is_same_machine:
            np.testing.assert_array_equal(ended[tensor], array, err_msg=tensor)
        else:
            np.testing.assert_allclose(ended[tensor], array, atol=FREE, err_msg=tensor)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept_lines = [json.loads(line) for line in Path("runs", name, "metrics.jsonl").read_text().splitlines()]
    assert losses(lines) == pytest.approx(losses(kept_lines), rel=0 if is_same_machine else 1e-3)


def losses(lines):
    """The loss of each step that a log has, and of each evaluation."""
    return {f"{line.get('split')} {line['step']}": line["loss"] for line in lines if "loss" in line}


@pytest.mark.parametrize("name", make.JOBS)
def test_a_job_goes_on_to_the_same_files(kept, is_same_machine, name, monkeypatch):
    monkeypatch.chdir(kept)
    before, out, whole = contents(Path("cut/jobs", name)), Path("cut/jobs", name), Path("jobs", name)
    make.run_command([*make.JOBS[name], "--out", str(out), *make.PARTS])
    after, expected = contents(out), contents(whole)
    assert sorted(after) == sorted(expected)
    for path in before:
        assert after[path] == before[path], f"{path} was scored before, and stays"
    for path in expected:
        if is_same_machine or path == "plan.json":
            assert after[path] == expected[path], path
        elif path.endswith(".parquet"):
            assert_close(pq.read_table(out / path), pq.read_table(whole / path))


def contents(folder):
    """The bytes of a job's files, but of those that are for people to look at."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".parquet", ".json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name != "summary.json"}


def assert_close(found, expected):
    """Numbers to within rounding, all else as it is."""
    assert found.schema == expected.schema
    for name in expected.column_names:
        ours, theirs = found[name].combine_chunks(), expected[name].combine_chunks()
        if pa.types.is_list(theirs.type):
            assert ours.offsets == theirs.offsets
            ours, theirs = ours.values, theirs.values
        if pa.types.is_floating(theirs.type):
            assert ours.is_valid() == theirs.is_valid()
            values = [array.drop_null().to_numpy(zero_copy_only=False) for array in (ours, theirs)]
            np.testing.assert_allclose(*values, rtol=1e-4, err_msg=name)
        else:
            assert ours == theirs, name
