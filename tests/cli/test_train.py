"""What the arguments of `jaxlm train` ask for."""

import dataclasses

import pytest

from jaxlm import models, training
from jaxlm.cli._failures import UsageError
from jaxlm.cli._train import read_request


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_no_argument_is_the_embedded_default():
    request = read_request([])
    assert request.experiment == training.Experiment()
    assert str(request.folder) == "runs/bytecode-1"
    assert not request.resume and not request.json


@pytest.mark.parametrize("arguments", [["--steps", "7"], ["--steps=7"], ["--run.steps", "7"]])
def test_an_option_changes_its_field_alone(arguments):
    default = training.Experiment()
    changed = dataclasses.replace(default, run=dataclasses.replace(default.run, steps=7))
    assert read_request(arguments).experiment == changed


def test_a_preset_is_the_model_and_options_vary_it():
    model = read_request(["--model.position", "rotary", "--preset", "small"]).experiment.model
    assert model == dataclasses.replace(models.PRESETS["small"], position="rotary")


def test_a_preset_keeps_the_direction_of_the_experiment(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from jaxlm import models, training\n"
        "def get_experiment():\n"
        "    return training.Experiment(\n"
        "        model=models.TransformerConfig(causal=True, dtype='bfloat16'),\n"
        "        run=training.RunConfig(objective='causal_lm'),\n"
        "    )\n"
    )
    model = read_request(["mine.py", "--preset=tiny"]).experiment.model
    assert model == dataclasses.replace(models.PRESETS["tiny"], causal=True, dtype="bfloat16")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"--preset is one of .*'small'.*, got 'huge'"):
        read_request(["--preset", "huge"])
