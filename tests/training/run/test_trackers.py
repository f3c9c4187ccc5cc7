"""The numbers of a run, as other programs get them."""

import math
import struct
import sys
import types

import pytest

from jaxlm import training
from jaxlm.errors import UsageError

EXPERIMENT = training.Experiment(run=training.RunConfig(steps=7, log_every=3))
STARTED = training.Started("runs/x", 1234, 0, 7, 640, "1 x cpu", 2.5, ())
SCORES = training.Evaluation(3.5, math.exp(3.5), 0.25, 0.5, 0.1, 100, 200, 0)


def progress(step):
    return training.Progress(step, 7, 8.0 - step, math.nan, 1e-3, math.nan, 0)


EVENTS = (
    STARTED,
    training.Compiled(0),
    *map(progress, range(1, 4)),
    training.Evaluated(3, "validation", SCORES),
    training.Sampled(3, "To be"),
    training.Saved(3, "x"),
    *map(progress, range(4, 8)),
)


def test_numbers_are_those_that_are_finite_and_say_of_which_split():
    assert training.event_numbers(progress(2)) == {
        "train/loss": 6.0,
        "train/learning_rate": 1e-3,
        "train/bad_steps": 0.0,
    }
    found = training.event_numbers(training.Evaluated(3, "validation", SCORES))
    assert found["validation/loss"] == 3.5 and found["validation/scored"] == 100.0
    assert "validation/bits_per_byte" not in found and all(name.startswith("validation/") for name in found)
    labels = training.SequenceEvaluation(0.5, math.nan, 300, 9000)
    assert training.event_numbers(training.Evaluated(3, "test", labels)) == {
        "test/loss": 0.5,
        "test/records": 300.0,
        "test/tokens": 9000.0,
    }
    assert not training.event_numbers(STARTED) and not training.event_numbers(training.Sampled(3, "x"))


def test_ones_own_tracker_gets_what_metrics_jsonl_gets():
    written = []

    class Own(training.Tracker):
        def write(self, step, numbers, text):
            written.append((step, numbers.get("train/loss"), text))

    own = Own(log_every=3)
    for event in EVENTS:
        own.track(event)
    assert written == [(3, 5.0, None), (3, None, None), (3, None, "To be"), (6, 2.0, None), (7, 1.0, None)]


class FakeWandb(types.ModuleType):
    """Remembers what a run is begun with and sent."""

    def __init__(self):
        super().__init__("wandb")
        self.begun, self.sent, self.id = [], [], "abc"

    def init(self, **options):
        self.begun.append(options)
        return self

    def log(self, values, step):
        self.sent.append((step, values))

    def finish(self):
        self.sent.append("finished")


def test_wandb_gets_the_experiment_and_goes_on_with_the_same_run(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    for _ in range(2):
        tracker = training.open_tracker("wandb", tmp_path, EXPERIMENT)
        for event in EVENTS:
            tracker.track(event)
        tracker.close()
    first, second = fake.begun
    assert (first["project"], first["id"], second["id"]) == ("jaxlm", None, "abc")
    assert first["config"] == EXPERIMENT.to_dict() and first["resume"] == "allow"
    assert [sent if sent == "finished" else sent[0] for sent in fake.sent[:6]] == [3, 3, 3, 6, 7, "finished"]
    assert fake.sent[2] == (3, {"sample": "To be"})
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    training.open_tracker("wandb", tmp_path, EXPERIMENT).track(STARTED)
    assert fake.begun[-1]["project"] is None  # wandb reads the variable


def test_tensorboard_files_hold_every_number(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    tracker = training.open_tracker("tensorboard", tmp_path, EXPERIMENT)
    for event in EVENTS:
        tracker.track(event)
    tracker.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    content, found = file.read_bytes(), []
    while content:  # records: the length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    assert [value for value in found if value[1] == "train/loss"] == [
        (3, "train/loss", 5.0),
        (6, "train/loss", 2.0),
        (7, "train/loss", 1.0),
    ]
    assert (3, "validation/loss", 3.5) in found and any(tag.startswith("sample") for _, tag, _ in found)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_library_that_is_not_installed_is_named(name, tmp_path, monkeypatch):
    for module in ("tensorboardX", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"tracker {name} needs \w+: pip install 'jaxlm\[{name}\]'"):
        training.open_tracker(name, tmp_path, EXPERIMENT)
