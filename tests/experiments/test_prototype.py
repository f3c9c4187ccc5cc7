"""The prototype is one short file, and the command line trains it."""

from pathlib import Path

import numpy as np

from jaxlm import training
from jaxlm.cli import main

PROTOTYPE = Path(__file__).resolve().parents[2] / "experiments" / "prototype" / "prototype.py"


def test_forty_lines_add_a_corruption_a_model_and_an_objective_and_train(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))
    assert len(PROTOTYPE.read_text().splitlines()) < 40
    assert main(["train", str(PROTOTYPE), "--out", str(tmp_path / "run")]) == 0
    lines = training.read_metrics(tmp_path / "run")
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    guess = -(0.15 * np.log(0.15) + 0.85 * np.log(0.85))  # by the rate of the noise alone
    assert len(losses) == 20  # of ten steps each
    assert losses[0] > guess and np.mean(losses[-2:]) < 0.7 * guess
