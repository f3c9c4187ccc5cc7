"""Every experiment loads by its name and, shrunk, trains for two steps."""

import dataclasses
import random
from pathlib import Path

import pytest

from jaxlm import training
from jaxlm.cli._experiments import open_experiment

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/config.py"))


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_spelled_out_default_is_the_default():
    assert open_experiment("bytecode-masked").experiment == training.Experiment()


def corpus(folder, is_protein):
    """Sixty short records: traces, or variants of a protein with position and number in the header."""
    if is_protein:
        draw = random.Random(0)
        sequences = ["".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=24)) for _ in range(60)]
        lines = [f">{n}|name_A{n % 20 + 1}G|{n / 60:.3f}\n{sequence}" for n, sequence in enumerate(sequences)]
    else:
        lines = [f"LOAD_FAST name{n % 7} [NEXT] STORE_FAST name{n % 5} [NEXT] POP_TOP {n}" for n in range(60)]
    path = folder / ("some.fasta" if is_protein else "some.txt")
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_trains(name, tmp_path):
    experiment = open_experiment(name.replace("_", "-")).experiment
    path = corpus(tmp_path, is_protein=experiment.tokenizer.kind == "residues")
    tiny = training.Experiment(
        data=dataclasses.replace(experiment.data, paths=(path,), row_length=32),
        tokenizer=dataclasses.replace(experiment.tokenizer, vocab_size=480),
        model=dataclasses.replace(experiment.model, width=16, depth=1, num_heads=2, max_length=32),
        input_noise=experiment.input_noise,
        target_noise=experiment.target_noise,
        head=experiment.head,
        objective=experiment.objective,
        loss=experiment.loss,
        optimizer=dataclasses.replace(experiment.optimizer, warmup=0),
        run=dataclasses.replace(experiment.run, steps=2, batch_size=8),
    )
    *_, last = training.train(tiny, tmp_path / "run")
    assert isinstance(last, training.Finished)


def test_spans_are_learned_by_t5_1_1_s_kind_of_model():
    model = open_experiment("source-spans").experiment.model.resolved()
    assert (model.tie_embeddings, model.output_scale, model.activation) == (False, 1.0, "geglu_tanh")


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_opens_with_its_command_and_what_to_expect(name):
    text = (ROOT / "experiments" / name / "config.py").read_text()
    assert all(
        word in text for word in (f"jaxlm train {name.replace('_', '-')}", "Hardware:", "Time:", "Expected:")
    )
    assert (ROOT / "experiments" / name / "README.md").exists()
