"""A whole run: what it leaves, how it is cut off, and that going on changes nothing."""

import contextlib
import dataclasses
import errno
import json
import logging
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxlm import pretrained, training
from jaxlm.ops import _fused_attention
from jaxlm.training.run import _checkpoints, _loop, _trainer
from jaxlm.training.run._run_folder import lock_run_folder
from jaxlm.training.step import _evaluator

# Trains from experiment.json; says each event, and waits to be killed after the step that it is told.
CHILD = """
import json, sys
from jaxlm import training
from jaxlm.devices import enable_compilation_cache
enable_compilation_cache()
experiment = training.Experiment.from_dict(json.load(open(sys.argv[1])))
for event in training.train(experiment, sys.argv[2], resume=sys.argv[3] == "resume"):
    name = type(event).__name__
    print(name, getattr(event, "step", ""), getattr(event, "message", ""), flush=True)
    if name == "Progress" and event.step == int(sys.argv[4]):
        sys.stdin.readline()
"""
TIMES = ("seconds", "tokens_per_second")


def one_device():
    return jax.local_devices()[:1]


def drained(events):
    return list(events)


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def arrays_at(folder, step):
    """The files of a checkpoint's arrays: names and contents."""
    (checkpoint,) = [one for one in training.checkpoints(folder / "checkpoints") if one.step == step]
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        return checkpointer.restore(checkpoint.folder.absolute() / "state")


def assert_same_arrays(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.asarray(ours[name]).tobytes() == np.asarray(theirs[name]).tobytes(), name


def untimed(folder):
    lines = training.read_metrics(folder)
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    """A run that was let be, and its events."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, drained(training.train(experiment, folder, devices=one_device()))


def test_what_a_run_tells(finished):
    _, events = finished
    (started,) = of_kind(events, training.Started)
    assert isinstance(events[-1], training.Finished)
    assert started.steps == 8 and started.tokens_per_step == 8 * 32 and started.devices == "1 x cpu"
    assert [event.step for event in of_kind(events, training.Progress)] == list(range(1, 9))
    assert [event.step for event in of_kind(events, training.Saved)] == [2, 4, 6, 8]
    evaluated = of_kind(events, training.Evaluated)
    assert [(event.step, event.split) for event in evaluated] == [
        (4, "validation"),
        (8, "validation"),
        (8, "test"),
    ]
    assert events[-1].evaluation == evaluated[-1].evaluation
    assert not of_kind(events, training.Warned)


def test_what_the_rooms_below_say_is_told(experiment, tmp_path, monkeypatch):
    real = _loop.make_task

    def talking(asked):
        logging.getLogger("jaxlm.data").info("tokenising")
        logging.getLogger("jaxlm").warning("the cache is damaged")
        return real(asked)

    monkeypatch.setattr(_loop, "make_task", talking)
    _fused_attention.log_choice.cache_clear()
    jax.clear_caches()  # what is traced before is not said again
    before = logging.getLogger("jaxlm").handlers[:]
    with contextlib.closing(training.train(experiment, tmp_path / "run", devices=one_device())) as run:
        assert next(run) == training.Noted("tokenising")
        assert next(run) == training.Warned("the cache is damaged")
        told = [event.message for event in run if isinstance(event, training.Noted)]
    # Of the shapes that parameters are drawn with, which are not the run's, nothing is told.
    attention = [line.partition(":")[0] for line in told if line.startswith("attention")]
    assert attention == ["attention [8,32,2,8] f32"]
    assert logging.getLogger("jaxlm").handlers == before and logging.getLogger("jaxlm").propagate


def test_what_a_run_leaves(finished, experiment):
    folder, _ = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "experiment.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert training.load_experiment(folder) == experiment
    lines = training.read_metrics(folder)
    assert [(line["step"], line["split"]) for line in lines] == [
        (2, "train"),
        (4, "train"),
        (4, "validation"),
        (6, "train"),
        (8, "train"),
        (8, "validation"),
        (8, "test"),
    ]
    # The best of the two validated ones and the last two.
    losses = {line["step"]: line["loss"] for line in lines if line["split"] == "validation"}
    steps = [checkpoint.step for checkpoint in training.checkpoints(folder / "checkpoints")]
    assert steps == sorted({6, 8, min(losses, key=losses.get)})


def test_the_model_in_the_folder_is_the_last_checkpoints(finished, task):
    folder, events = finished
    loaded = pretrained.load(folder)
    arrays = arrays_at(folder, 8)
    stored = {name.removeprefix("params."): arrays[name] for name in arrays if name.startswith("params.")}
    assert_same_arrays(_checkpoints.flat_arrays(loaded.params), stored)
    assert loaded.tokenizer.fingerprint == task.tokenizer.fingerprint
    scores = training.evaluate(
        loaded.model,
        loaded.params,
        loaded.tokenizer,
        task.splits["test"].cache,
        row_length=32,
        batch_size=8,
        devices=one_device(),
    )
    np.testing.assert_allclose(scores.nll, events[-1].evaluation.nll, rtol=1e-6)


def test_eight_devices_come_to_the_same(finished, experiment, tmp_path):
    folder, _ = finished
    again = drained(training.train(experiment, tmp_path / "run"))
    assert again[0].devices == "8 x cpu"
    for ours, theirs in zip(untimed(tmp_path / "run"), untimed(folder), strict=True):
        counts = ("step", "split", "scored", "tokens", "overflow", "accuracy")
        assert {name: ours[name] for name in counts} == {name: theirs[name] for name in counts}
        # Float32 sums in another order, through eight updates of Adam.
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)


def test_a_folder_with_a_run_is_refused_before_anything_is_prepared(finished, experiment, changed):
    folder, _ = finished
    with pytest.raises(ValueError, match="already holds a run"):
        next(training.train(experiment, folder))
    with pytest.raises(ValueError, match=r"first fields that differ \(there and here\): run.seed: 0 and 5"):
        next(training.train(changed(seed=5), folder, resume=True))


def test_a_batch_that_the_devices_do_not_divide_is_refused(changed, tmp_path):
    with pytest.raises(ValueError, match=r"a multiple of 8 devices x 1 micro-batches: got 12, take 8"):
        next(training.train(changed(batch_size=12), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_can_be_resumed_to_its_end(finished, experiment):
    folder, events = finished
    before = untimed(folder)
    again = drained(training.train(experiment, folder, resume=True, devices=one_device()))
    assert again[0].step == 8 and isinstance(again[-1], training.Finished)
    assert not of_kind(again, training.Progress)
    assert untimed(folder) == before and again[-1].evaluation == events[-1].evaluation


@pytest.mark.parametrize(("number", "at", "stopped"), [(signal.SIGTERM, 4, 4), (signal.SIGINT, 5, 6)])
def test_a_signal_saves_and_stops_and_the_run_goes_on(finished, changed, tmp_path, number, at, stopped):
    """At step 4 an evaluation is due, which is made up for; the bits are those of a whole run."""
    folder, _ = finished
    experiment = changed(save_every=4)
    run = training.train(experiment, tmp_path / "run", devices=one_device())
    events = []
    for event in run:
        events.append(event)
        if isinstance(event, training.Progress) and event.step == at:
            signal.raise_signal(number)
    assert isinstance(events[-1], training.Stopped) and events[-1].signal == number
    assert of_kind(events, training.Saved)[-1].step == events[-1].step == stopped
    assert not (tmp_path / "run" / "model.safetensors").exists()
    drained(training.train(experiment, tmp_path / "run", resume=True, devices=one_device()))
    assert_same_arrays(arrays_at(tmp_path / "run", 8), arrays_at(folder, 8))
    assert untimed(tmp_path / "run") == untimed(folder)


def test_a_signal_before_the_first_step_stops_at_once(experiment, tmp_path):
    """Nothing is compiled any more, and nothing is there to save; the run can be gone on with."""
    events = []
    for event in training.train(experiment, tmp_path / "run", devices=one_device()):
        events.append(event)
        if isinstance(event, training.Started):
            signal.raise_signal(signal.SIGTERM)
    assert events[-1] == training.Stopped(0, signal.SIGTERM)
    assert not of_kind(events, training.Compiled) and not (tmp_path / "run/checkpoints").exists()
    with contextlib.closing(training.train(experiment, tmp_path / "run", resume=True)) as run:
        assert any(isinstance(event, training.Started) for event in run)


def test_a_signal_before_the_last_evaluation_stops_with_everything_saved(changed, tmp_path):
    short = changed(steps=2, eval_every=0, save_every=0)
    events = []
    for event in training.train(short, tmp_path / "run", devices=one_device()):
        events.append(event)
        if isinstance(event, training.Saved):
            signal.raise_signal(signal.SIGINT)
    assert events[-1] == training.Stopped(2, signal.SIGINT)
    assert not (tmp_path / "run/model.safetensors").exists()
    again = drained(training.train(short, tmp_path / "run", resume=True, devices=one_device()))
    assert again[0].step == 2 and isinstance(again[-1], training.Finished)


def test_a_kill_before_the_experiment_is_there_leaves_a_folder_to_begin_in(experiment, tmp_path, monkeypatch):
    def killed(folder, asked):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(_loop, "begin_run", killed)
        drained(training.train(experiment, tmp_path / "run", devices=one_device()))
    with contextlib.closing(training.train(experiment, tmp_path / "run", devices=one_device())) as run:
        assert any(isinstance(event, training.Started) for event in run)


def test_another_corpus_is_refused_on_resume(experiment, traces, changed, tmp_path):
    short = changed(steps=2, eval_every=0, save_every=0)
    drained(training.train(short, tmp_path / "run", devices=one_device()))
    text, before = traces.read_text(), folder_bytes(tmp_path / "run")
    try:
        traces.write_text(text + "mov rax rbx [NEXT] ret\n")
        with pytest.raises(ValueError, match=r"is no longer the one that .* was begun with") as refused:
            drained(training.train(short, tmp_path / "run", resume=True, devices=one_device()))
    finally:
        traces.write_text(text)
    assert "\n" not in str(refused.value)
    assert folder_bytes(tmp_path / "run") == before


@pytest.mark.parametrize("deterministic", [False, True])
def test_every_program_of_a_run_is_compiled_as_deterministic_asks(
    changed, tmp_path, monkeypatch, deterministic
):
    """XLA's option reaches the program of the step and that of the evaluator, or neither."""
    given = []

    def compile_told(*arguments, options):
        given.append(dict(options))
        return real(*arguments, options=options)

    real = _trainer.compile_unless_cancelled
    monkeypatch.setattr(_trainer, "compile_unless_cancelled", compile_told)
    monkeypatch.setattr(_evaluator, "compile_unless_cancelled", compile_told)
    short = changed(steps=2, eval_every=2, save_every=0, deterministic=deterministic)
    drained(training.train(short, tmp_path / "run", devices=one_device()))
    assert len(given) >= 2
    assert all(options == ({"xla_gpu_deterministic_ops": True} if deterministic else {}) for options in given)


def test_another_kind_of_key_is_refused_on_resume(changed, tmp_path):
    short = changed(steps=2, eval_every=0, save_every=0)
    drained(training.train(short, tmp_path / "run", devices=one_device()))
    before = folder_bytes(tmp_path / "run")
    with (
        jax.default_prng_impl("rbg"),
        pytest.raises(ValueError, match=r"keys of kind threefry2x32, got rbg: set JAX_DEFAULT_PRNG_IMPL"),
    ):
        drained(training.train(short, tmp_path / "run", resume=True, devices=one_device()))
    assert folder_bytes(tmp_path / "run") == before


def folder_bytes(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_is_one_processs_at_a_time(experiment, tmp_path):
    with lock_run_folder(tmp_path / "run"), pytest.raises(ValueError, match="another process is training in"):
        drained(training.train(experiment, tmp_path / "run", devices=one_device()))
    assert not list((tmp_path / "run").iterdir())


def test_no_room_on_disk_ends_the_run_and_keeps_what_is_there(experiment, changed, tmp_path, monkeypatch):
    real = _checkpoints._write_arrays

    def full(folder, arrays):
        if int(arrays["step"]) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder, arrays)

    monkeypatch.setattr(_checkpoints, "_write_arrays", full)
    with pytest.raises(OSError, match="No space left on device"):
        drained(training.train(experiment, tmp_path / "run", devices=one_device()))
    assert training.last_good(tmp_path / "run" / "checkpoints")[0].step == 2
    monkeypatch.setattr(_checkpoints, "_write_arrays", real)
    events = drained(training.train(experiment, tmp_path / "run", resume=True, devices=one_device()))
    assert events[0].step == 2 and isinstance(events[-1], training.Finished)


def test_bad_batches_are_reported_and_many_in_a_row_stop_the_run(changed, tmp_path):
    def bad(head, inputs, config):
        sums = training.token_loss(head, inputs, config)
        return sums | {"loss_sum": sums["loss_sum"] * np.float32(np.nan)}

    poisoned = dataclasses.replace(training.OBJECTIVES["masked_lm"], name="poisoned", loss=bad)
    experiment = dataclasses.replace(changed(max_bad_steps=3), objective=poisoned)
    events = []
    with pytest.raises(training.TrainingError, match=r"3 batches in a row up to step 3 ") as stopped:
        for event in training.train(experiment, tmp_path / "run", devices=one_device()):
            events.append(event)
    assert "\n" not in str(stopped.value) and "a lower rate does not help" in str(stopped.value)
    (warned,) = of_kind(events, training.Warned)
    assert warned.message == "the loss or the gradient of batch 1 is not finite: it changes no parameter"
    assert of_kind(events, training.Progress)[-1].bad_steps == 2
    (line,) = training.read_metrics(tmp_path / "run")
    assert line["bad_steps"] == 2 and line["loss"] is None and line["tokens"] > 0


class Child:
    """A run in a process of its own."""

    def __init__(self, experiment, folder, *, resume=False, hold=0):
        (folder.parent / "experiment.json").write_text(json.dumps(experiment.to_dict()))
        arguments = [
            str(folder.parent / "experiment.json"),
            str(folder),
            "resume" if resume else "new",
            str(hold),
        ]
        environment = os.environ | {"XLA_FLAGS": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.lines = []

    def until(self, line):
        for said in self.process.stdout:
            self.lines.append(said.strip())
            if said.startswith(line):
                return
        raise AssertionError(f"it never said {line}: {self.lines}")

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL
        self.close()

    def end(self):
        self.lines += [line.strip() for line in self.process.communicate()[0].splitlines()]
        assert self.process.returncode == 0
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.long
def test_a_run_of_100_steps_killed_twice_comes_to_the_same_bits(changed, tmp_path):
    """To about half, kill -9, resume, kill -9, a bit flipped in the last checkpoint, resume to the end."""
    hundred = changed(steps=100, save_every=20, eval_every=40, log_every=8, keep_last=3)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    Child(hundred, whole).end()

    first = Child(hundred, cut, hold=53)
    first.until("Progress 53")
    first.kill()
    # Step 40 may still have been on its way to the disk.
    kept = [checkpoint.step for checkpoint in training.checkpoints(cut / "checkpoints")]
    assert kept in ([20], [20, 40])
    assert max(line["step"] for line in training.read_metrics(cut)) == 48

    second = Child(hundred, cut, resume=True, hold=87)
    second.until(f"Started {kept[-1]}")
    assert max(line["step"] for line in training.read_metrics(cut)) <= kept[-1]
    second.until("Saved 60")
    second.until("Progress 87")
    second.kill()
    *_, before, last = [checkpoint.step for checkpoint in training.checkpoints(cut / "checkpoints")]
    flip_a_bit(cut / "checkpoints" / f"{last:08d}")

    third = Child(hundred, cut, resume=True)
    third.end()
    told = [line for line in third.lines if not line.startswith("Noted")]
    assert told[0].startswith(f"Warned  checkpoint {last} is damaged and is left out: state/")
    assert told[1] == f"Warned  the run continues from checkpoint {before}"
    assert told[2].startswith(f"Started {before}") and told[-1].startswith("Finished 100")

    assert_same_arrays(arrays_at(cut, 100), arrays_at(whole, 100))
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert untimed(cut) == untimed(whole)


def flip_a_bit(folder):
    """Flips one bit in the largest file of a checkpoint's arrays."""
    files = [path for path in (folder / "state").rglob("*") if path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_text_is_written_after_each_evaluation_and_changes_nothing(finished, experiment, tmp_path):
    folder, _ = finished
    texts = []

    def write(loaded):
        first = jax.tree.leaves(loaded.params)[0]
        texts.append(f"{loaded.kind.name} {loaded.tokenizer.kind} {float(first.sum()):.6f}")
        return texts[-1]

    own = tmp_path / "run"
    events = drained(training.train(experiment, own, devices=one_device(), write_sample=write))
    sampled = of_kind(events, training.Sampled)
    steps = [event.step for event in of_kind(events, training.Evaluated) if event.split == "validation"]
    assert [(event.step, event.text) for event in sampled] == list(zip(steps, texts, strict=True))
    assert len(set(texts)) == len(texts) > 1  # the present parameters, each time
    lines = untimed(own)
    assert [line["sample"] for line in lines if "sample" in line] == texts
    assert [line for line in lines if "sample" not in line] == untimed(folder)
    assert_same_arrays(arrays_at(own, 8), arrays_at(folder, 8))
    loaded = pretrained.load(own)
    assert texts[-1].endswith(f"{float(jax.tree.leaves(loaded.params)[0].sum()):.6f}")
