"""A causal run on proteins from the command line: what it is compared with, and its scores under noise."""

import json
import random
from pathlib import Path

import pytest

from jaxlm.cli import main

EXPERIMENT = str(Path(__file__).parents[2] / "experiments" / "protein_causal")
TINY = "--steps 2 --eval-every 2 --batch-size 8 --row-length 32 --width 16 --depth 1 --num-heads 2"
NOISE = "--input-noise.schedule linear --input-noise.timesteps uniform --out runs/noisy"


@pytest.fixture
def here(tmp_path, monkeypatch):
    draw = random.Random(0)
    proteins = ["".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=draw.randint(12, 30))) for _ in range(90)]
    (tmp_path / "some.fasta").write_text("".join(f">p{n}\n{one}\n" for n, one in enumerate(proteins)))
    (tmp_path / "other.fasta").write_text(">complex\nMKVLA.ACDEW\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_bits_per_byte_stand_beside_compressors_and_noise_is_told_by_level(here, capsys):
    assert main(["train", EXPERIMENT, "--data", "some.fasta", *TINY.split(), *NOISE.split()]) == 0
    shown = capsys.readouterr().out
    assert "bits per byte" in shown and "the same text compressed, bits per byte: zlib " in shown
    assert "corrupted" not in shown  # a run is judged on clean proteins
    assert main(["evaluate", "runs/noisy", "--json"]) == 0
    clean = json.loads(capsys.readouterr().out)
    assert clean["bits_per_byte"] > 0 and "by_level" not in clean
    assert main(["evaluate", "runs/noisy", "--noisy", "--json"]) == 0
    noisy = json.loads(capsys.readouterr().out)
    assert noisy["bits_per_byte"] is None and noisy["scored"] == clean["scored"]
    assert len(noisy["by_level"]) > 2
    assert sum(level["weight"] for level in noisy["by_level"]) == noisy["scored"]
    # As many letters as a complex has, its separator, and its end.
    assert main(["evaluate", "runs/noisy", "other.fasta", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scored"] == 5 + 1 + 5 + 1
    experiment = json.loads((here / "runs/noisy/experiment.json").read_text())
    experiment["input_noise"] |= {"schedule": "constant", "rate": 0.0}
    (here / "runs/noisy/experiment.json").write_text(json.dumps(experiment))
    assert main(["evaluate", "runs/noisy", "--noisy"]) == 2
    assert (
        "--noisy corrupts as in training, but this model was trained on texts as they are"
        in capsys.readouterr().err
    )
