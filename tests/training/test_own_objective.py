"""An objective and a kind of model that jaxlm does not have: trained, judged, killed, resumed, opened."""

import dataclasses
import functools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlm
from jaxlm import data, models, pretrained, training
from jaxlm.cli import main
from tests.training.own_parts import KIND, OBJECTIVE, VOWELS, loss, make_experiment, prepare

CHILD = """
import sys
from jaxlm import training
from jaxlm.devices import enable_compilation_cache
enable_compilation_cache()
experiment = training.load_experiment(sys.argv[1])
for event in training.train(experiment, sys.argv[1], resume=True):
    print(type(event).__name__, getattr(event, "step", ""), flush=True)
    if isinstance(event, training.Progress) and event.step == int(sys.argv[2]):
        sys.stdin.readline()
"""
FILE = """
import dataclasses
from tests.training.own_parts import KIND, OBJECTIVE, make_experiment
KIND = dataclasses.replace(KIND, reference=None)
OBJECTIVE = dataclasses.replace(OBJECTIVE, kind=KIND, reference=None)
def get_experiment():
    return make_experiment({path!r}, OBJECTIVE)
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    draw, path = random.Random(0), tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join("".join(draw.choices("aeioubcdfgh ", k=20)) for _ in range(120)))
    return path


@pytest.fixture(scope="module")
def finished(texts, tmp_path_factory):
    """The folder of a whole run, and its last event."""
    folder = tmp_path_factory.mktemp("own") / "whole"
    *_, last = training.train(make_experiment(texts), folder, devices=jax.local_devices()[:1])
    return folder, last


def losses(folder):
    return [(line["step"], line["split"], line["loss"]) for line in training.read_metrics(folder)]


def test_its_scores_are_means_by_its_own_weights(finished):
    folder, last = finished
    loaded, experiment = pretrained.load(folder), training.load_experiment(folder)
    cache = data.prepare(experiment.data, experiment.tokenizer).caches["test"]
    plan = data.plan_packing(cache.lengths, 32)

    @jax.jit
    def logits(batch):
        variables = {"params": loaded.params}
        read = models.Inputs(batch.tokens, segments=batch.segments, positions=batch.positions)
        hidden = loaded.model.apply(variables, read).hidden
        return loaded.model.apply(variables, hidden, method="scores")

    nats, weight, hits = 0.0, 0.0, 0
    for batch in data.eval_batches(cache, plan, 8):
        scores, is_real = np.asarray(logits(batch), np.float64), batch.segments > 0
        is_vowel = np.isin(batch.tokens, VOWELS)
        weights = np.where(is_vowel, 0.5, 1.0) * is_real
        nats += (weights * (np.logaddexp(0, scores) - is_vowel * scores)).sum()
        weight += weights.sum()
        hits += ((scores > 0) == is_vowel)[is_real].sum()
    found = last.evaluation
    assert (found.scored, found.tokens) == (cache.num_tokens, cache.num_tokens)
    np.testing.assert_allclose(found.nll, nats / weight, rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, hits / cache.num_tokens, rtol=1e-6)
    assert np.isnan(found.perplexity) and np.isnan(found.bits_per_byte)
    again = training.evaluate(
        loaded.model, loaded.params, loaded.tokenizer, cache, objective=OBJECTIVE, row_length=32
    )
    np.testing.assert_allclose(again.nll, found.nll, rtol=1e-5)


def test_a_step_divides_by_the_sum_of_the_weights_however_small_it_is(texts):
    experiment = make_experiment(texts)
    task = training.make_task(experiment)
    model, optimizer = models.build(task.config, KIND), training.make_optimizer(experiment.optimizer, 8)
    state = training.init_state(model, optimizer, jax.random.key(0))
    setting = training.setting_of(experiment, task, 8)
    batch = data.Batches(*task.splits["train"], batch_size=8, seed=0)[0]

    @jax.jit
    def metrics(scale):
        def scaled(rng, batch, step):
            inputs = prepare(rng, batch, step, setting)
            return inputs._replace(weights=scale * inputs.weights)

        whole = training.loss_function(scaled, functools.partial(loss, config=None))
        step = training.make_train_step(whole, model.apply, optimizer, experiment.optimizer.schedule(8))
        return step(state, batch)[1]

    one, little = metrics(jnp.float32(1.0)), metrics(jnp.float32(1e-6))
    assert one["weight"] > 50 and little["weight"] < 1e-3 and one["scored"] == little["scored"] > 50
    for name in ("grad_norm", "loss_sum"):
        divided = [
            float(each[name]) / (1 if name == "grad_norm" else each["weight"]) for each in (one, little)
        ]
        np.testing.assert_allclose(*divided, rtol=1e-5)


def test_what_is_written_of_its_training(finished):
    lines = [line for line in training.read_metrics(finished[0]) if line["split"] == "train"]
    assert lines[-1]["loss"] < lines[0]["loss"] < 1.5
    assert all(type(line["scored"]) is int and line["scored"] == line["tokens"] for line in lines)


def test_killed_and_resumed_it_comes_to_the_same_bits(finished, texts, tmp_path):
    whole, _ = finished
    cut = tmp_path / "cut"
    events = training.train(make_experiment(texts), cut, devices=jax.local_devices()[:1])
    next(event for event in events if isinstance(event, training.Saved))
    events.close()
    environment = os.environ | {"XLA_FLAGS": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(cut), "5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with child:
        assert any(line.startswith("Progress 5") for line in child.stdout)
        os.kill(child.pid, signal.SIGKILL)
    assert training.last_good(cut / "checkpoints")[0].step in (2, 4)
    again = list(training.train(make_experiment(texts), cut, resume=True, devices=jax.local_devices()[:1]))
    assert isinstance(again[-1], training.Finished)
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert losses(cut) == losses(whole)


def test_its_folder_says_where_its_parts_are(finished, tmp_path):
    folder, _ = finished
    config = json.loads((folder / "config.json").read_text())
    assert (config["objective"], config["reference"]) == ("tagger", KIND.reference)
    assert config["experiment"]["objective"] == {"name": "vowel_tags", "reference": OBJECTIVE.reference}
    for kind in (None, KIND):
        loaded = pretrained.load(folder, kind=kind)
        assert loaded.kind is KIND and set(loaded.params) == {"body", "tag"}
    with pytest.raises(
        ValueError, match=r"config\.json: the model is of kind 'tagger': got the kind 'other'"
    ):
        pretrained.load(folder, kind=dataclasses.replace(KIND, name="other"))


def test_without_a_reference_it_is_given(finished, tmp_path):
    loaded = pretrained.load(finished[0])
    kind = dataclasses.replace(KIND, reference=None)
    pretrained.save_model(tmp_path, loaded.config, loaded.params, loaded.tokenizer, kind=kind)
    assert pretrained.load(tmp_path, kind=kind).kind is kind
    with pytest.raises(
        ValueError, match=r"of kind 'tagger', .* give the ModelKind, pretrained\.load\(folder, k"
    ):
        pretrained.load(tmp_path)
    nowhere = dataclasses.replace(KIND, reference="no.such.module:KIND")
    pretrained.save_model(tmp_path, loaded.config, loaded.params, loaded.tokenizer, kind=nowhere)
    with pytest.raises(ValueError, match=r"'no\.such\.module:KIND' cannot be imported: .* on PYTHONPATH"):
        pretrained.load(tmp_path)


def test_the_names_of_ours_are_taken():
    with pytest.raises(ValueError, match="kind 'masked_lm' is jaxlm's own: give yours another name"):
        models.build(models.TransformerConfig(vocab_size=9), dataclasses.replace(KIND, name="masked_lm"))
    with pytest.raises(ValueError, match="objective 'causal_lm' is jaxlm's own"):
        training.Experiment(objective=dataclasses.replace(OBJECTIVE, name="causal_lm"))
    with pytest.raises(ValueError, match=r"objective is one of masked_lm, .*: got 'mlm'"):
        training.Experiment(objective="mlm")


def test_the_command_line_takes_its_experiment_s_file(texts, tmp_path, monkeypatch, capsys):
    """Without references: the file has the parts, and a run is gone on with by naming it again."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE.format(path=str(texts)))
    assert main(["train", "mine.py", "--out", "run", "--steps", "4", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["step"] == 4 and 0 < first["nll"] < 2 and first["perplexity"] is None
    assert main(["train", "mine.py", "--out", "run", "--resume", "--steps", "6"]) == 0
    shown = capsys.readouterr().out
    assert "trained 2 steps" in shown and "on from step 4 to 6" in shown
    assert main(["train", "--out", "run", "--resume", "--steps", "8"]) == 2
    assert "objective 'vowel_tags' is none of masked_lm" in capsys.readouterr().err


def test_no_file_of_jaxlm_names_them():
    sources = [path.read_text() for path in Path(jaxlm.__file__).parent.rglob("*.py")]
    assert not any(name in source for source in sources for name in ("tagger", "vowel_tags", "Tagger"))
