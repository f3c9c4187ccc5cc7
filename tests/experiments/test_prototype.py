"""The prototype is one short file, and it trains."""

import re
import runpy
from pathlib import Path

import numpy as np

PROTOTYPE = Path(__file__).resolve().parents[2] / "experiments" / "prototype" / "prototype.py"


def test_forty_lines_add_a_corruption_a_head_and_an_objective_and_train(capsys):
    assert len(PROTOTYPE.read_text().splitlines()) <= 40
    runpy.run_path(str(PROTOTYPE), run_name="__main__")
    losses = [float(loss) for loss in re.findall(r": ([\d.]+) nats a byte", capsys.readouterr().out)]
    guess = -(0.15 * np.log(0.15) + 0.85 * np.log(0.85))  # by the rate of the noise alone
    assert len(losses) == 200
    assert losses[0] > guess and np.mean(losses[-20:]) < 0.7 * guess
