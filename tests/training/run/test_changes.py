"""Runs that go on with other settings: which are taken, what is told of them, and what is refused."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained, tokenizers, training
from jaxlm.io import flat_fields
from jaxlm.training.run._changes import CHANGEABLE, find_changes
from jaxlm.training.run._run_folder import check_run_folder

# A value of each field that differs from that of the run below.
OTHER = {
    "run.steps": 12,
    "run.log_every": 1,
    "run.eval_every": 2,
    "run.eval_batches": 1,
    "run.save_every": 3,
    "run.keep_last": 3,
    "run.keep_best": 0,
    "run.max_bad_steps": 2,
    "optimizer.learning_rate": 3e-3,
    "optimizer.decay": "linear",
    "optimizer.cooldown": 0.2,
    "optimizer.final_fraction": 0.5,
    "optimizer.weight_decay": 0.2,
}


def one_device():
    return jax.local_devices()[:1]


def run(experiment, folder, **options):
    return list(training.train(experiment, folder, devices=one_device(), **options))


def arrays(folder):
    """The arrays of a run's last checkpoint by name."""
    checkpoint, _ = training.last_good(folder / "checkpoints")
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        return checkpointer.restore(checkpoint.folder.absolute() / "state")


def replaced(experiment, field, value):
    part, name = field.split(".")
    inner = dataclasses.replace(getattr(experiment, part), **{name: value})
    return dataclasses.replace(experiment, **{part: inner})


@pytest.fixture(scope="module")
def short(experiment):
    """Four steps at a constant rate, so that more of them are the same as a longer run's."""
    return dataclasses.replace(
        experiment,
        optimizer=training.OptimizerConfig(decay="constant", warmup=2),
        run=dataclasses.replace(experiment.run, steps=4, eval_every=0, save_every=2, log_every=2),
    )


@pytest.fixture(scope="module")
def finished(short, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(short, folder)
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_more_steps_go_on_as_if_there_had_been_so_many(short, copied, tmp_path):
    longer = replaced(short, "run.steps", 8)
    events = run(longer, copied, resume=True)
    assert isinstance(events[-1], training.Finished) and events[-1].step == 8
    run(longer, tmp_path / "straight")
    ours, straight = arrays(copied), arrays(tmp_path / "straight")
    assert ours.keys() == straight.keys()
    assert all(np.asarray(ours[name]).tobytes() == np.asarray(straight[name]).tobytes() for name in ours)
    told = [line for line in training.read_metrics(copied) if "changed" in line]
    assert told == [{"step": 4, "changed": "run.steps", "before": 4, "after": 8}]
    assert training.load_experiment(copied) == longer
    # The same command once more changes nothing, and tells nothing.
    run(longer, copied, resume=True)
    assert [line for line in training.read_metrics(copied) if "changed" in line] == told


def test_a_fallen_rate_is_that_of_the_new_length_at_the_step_of_the_change(short, copied):
    cosine = {"decay": "cosine", "learning_rate": 5e-3}
    longer = dataclasses.replace(
        replaced(short, "run.steps", 8), optimizer=dataclasses.replace(short.optimizer, **cosine)
    )
    run(longer, copied, resume=True)
    schedule = longer.optimizer.schedule(8)
    lines = [line for line in training.read_metrics(copied) if line.get("split") == "train"]
    rates = {line["step"]: line["learning_rate"] for line in lines}
    assert rates[6] == pytest.approx(float(schedule(jnp.int32(5))), rel=1e-6)
    fields = {line["changed"] for line in training.read_metrics(copied) if "changed" in line}
    assert fields == {"run.steps", "optimizer.decay", "optimizer.learning_rate"}


@pytest.mark.parametrize("field", sorted(OTHER))
def test_each_field_that_may_change_is_taken_and_told(short, finished, field):
    other = replaced(short, field, OTHER[field])
    allowed, refused = find_changes(short, other)
    assert [change.field for change in allowed] == [field] and not refused
    assert check_run_folder(finished, other, resume=True)


def test_every_other_field_is_refused(short, finished):
    """Whatever the fields of an experiment are: a change of its JSON that is not among those is refused."""
    assert set(OTHER) | {"data.paths", "run.init", "tokenizer.path"} == CHANGEABLE
    fields = flat_fields(short.to_dict())
    assert len(fields) > 100
    for field, value in fields.items():
        if field in CHANGEABLE or not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if field.count(".") != 1:
            continue
        try:
            other = replaced(short, field, value + 1)
        except (ValueError, TypeError):
            continue
        allowed, refused = find_changes(short, other)
        assert [change.field for change in refused] == [field] and not allowed
    with pytest.raises(
        ValueError, match=r"the first fields that differ \(there and here\): run\.seed: 0 and 1"
    ):
        check_run_folder(finished, replaced(short, "run.seed", 1), resume=True)


def test_fewer_steps_than_were_made_are_refused(short, copied):
    with pytest.raises(ValueError, match=r"is at step 4: run\.steps is at least that to continue, got 3"):
        run(replaced(short, "run.steps", 3), copied, resume=True)


def test_the_same_data_may_lie_elsewhere(short, copied, traces, tmp_path):
    place = tmp_path / "moved" / traces.name
    place.parent.mkdir()
    shutil.copy(traces, place)
    moved = replaced(replaced(short, "data.paths", (str(place),)), "run.steps", 5)
    assert isinstance(run(moved, copied, resume=True)[-1], training.Finished)
    told = [line["changed"] for line in training.read_metrics(copied) if "changed" in line]
    assert told == ["data.paths", "run.steps"]
    place.write_text(place.read_text() + "ret [NEXT] ret\n")
    with pytest.raises(ValueError, match="is no longer the one that"):
        run(moved, copied, resume=True)


@pytest.fixture(scope="module")
def beginning(tmp_path_factory):
    """A model that a run begins with, the same at another place, and another one."""
    root = tmp_path_factory.mktemp("beginning")
    config = models.TransformerConfig(vocab_size=260, width=16, depth=1, num_heads=2, max_length=32)
    for name, seed in (("first", 0), ("other", 1)):
        params = models.build(config).init(jax.random.key(seed), jnp.array([[1]]))["params"]
        tokenizer = tokenizers.bytes_tokenizer()
        pretrained.save_model(root / name, config, params, tokenizer, kind="masked_lm")
    shutil.copytree(root / "first", root / "copy")
    return root


def test_the_model_that_a_run_began_with_may_lie_elsewhere(short, beginning, tmp_path):
    base = dataclasses.replace(short, model=training.Experiment().model)
    begun = training.experiment_from_model(str(beginning / "first"), base)
    run(begun, tmp_path / "run")
    longer = replaced(begun, "run.steps", 5)

    def at(name):
        moved = replaced(longer, "run.init", str(beginning / name))
        return replaced(moved, "tokenizer.path", str(beginning / name))

    with pytest.raises(ValueError, match=r"does not hold the model that .* began with"):
        run(at("other"), tmp_path / "run", resume=True)
    assert isinstance(run(at("copy"), tmp_path / "run", resume=True)[-1], training.Finished)


def test_what_is_said_before_a_run_starts_is_told(short, beginning, tmp_path):
    """A head that is drawn anew is said while the first parameters are made."""
    base = dataclasses.replace(short, model=training.Experiment().model, objective="masked_lm")
    experiment = training.experiment_from_model(str(beginning / "first"), base)
    labelled = models.HeadConfig(num_outputs=2)
    config = models.TransformerConfig(vocab_size=260, width=16, depth=1, num_heads=2, max_length=32)
    drawn = models.build(config, "classification", labelled).init(jax.random.key(0), jnp.array([[1]]))
    pretrained.save_model(
        tmp_path / "classifier",
        config,
        drawn["params"],
        tokenizers.bytes_tokenizer(),
        kind="classification",
        head=labelled,
    )
    experiment = replaced(experiment, "run.init", str(tmp_path / "classifier"))
    experiment = replaced(experiment, "tokenizer.path", str(tmp_path / "classifier"))
    events = run(experiment, tmp_path / "run")
    before = events[: next(n for n, event in enumerate(events) if isinstance(event, training.Started))]
    said = [event.message for event in before if isinstance(event, training.Noted)]
    assert any(line.startswith("the head is drawn: ") for line in said)
    assert not any(line.startswith("attention") for line in said)


def diverged(experiment, folder, **options):
    """What a run says that ends by itself, its rate being so high that the first update ruins all."""
    with pytest.raises(training.TrainingError) as stopped:
        run(experiment, folder, **options)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


@pytest.fixture(scope="module")
def ruinous(short):
    rate = dataclasses.replace(short.optimizer, learning_rate=1e30, clip_norm=0.0, warmup=0)
    steps = dataclasses.replace(short.run, steps=20, save_every=2, max_bad_steps=4)
    return dataclasses.replace(short, optimizer=rate, run=steps)


def test_what_is_said_after_a_divergence_goes_on(ruinous, tmp_path):
    """While batches are not finite nothing is saved, so that a lower rate finds good parameters."""
    said = diverged(ruinous, tmp_path / "run")
    assert f"jaxlm train --resume --out {tmp_path / 'run'} --optimizer.learning-rate 1e+29" in said
    assert training.checkpoints(tmp_path / "run" / "checkpoints") == []
    slow = replaced(replaced(ruinous, "optimizer.learning_rate", 1e-3), "run.steps", 4)
    assert isinstance(run(slow, tmp_path / "run", resume=True)[-1], training.Finished)
    # From here on the last checkpoint that was saved is one that the first fast update has ruined.
    fast = replaced(replaced(ruinous, "run.save_every", 1), "run.keep_last", 3)
    said = diverged(fast, tmp_path / "run", resume=True)
    again = f"jaxlm train --init {tmp_path / 'run'}@4 --out NEW --optimizer.learning-rate 1e+29"
    assert "checkpoint 5 is ruined already" in said and again in said
    assert "checkpoint 5 is ruined already" in diverged(
        replaced(fast, "optimizer.learning_rate", 1e-3), tmp_path / "run", resume=True
    )
