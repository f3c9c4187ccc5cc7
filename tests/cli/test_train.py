"""What the arguments of `jaxlm train` ask for."""

import dataclasses

import pytest

from jaxlm import training
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
