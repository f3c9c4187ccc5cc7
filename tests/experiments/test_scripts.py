"""Every script of the experiments runs to its end as a person starts it, with the smallest settings."""

import importlib.util
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
# Options by script; FASTA and TEXT stand for files that the test writes, OUT for a folder of its own.
SMALL = {
    "benchmarks/attribution.py": "--small --rounds 1",
    "benchmarks/bytes.py": "--small --rounds 1",
    "benchmarks/corruption_cost.py": "--batch 2 --length 16 --depth 1 --dtypes float32 --rounds 1",
    "benchmarks/corruption_throughput.py": "--batch 2 --length 16 --rounds 1 --steps 1",
    "benchmarks/embed.py": "--small --rounds 1",
    "benchmarks/ensemble_step.py": "--members 2 --width 16 --depth 1 --vocabulary 260 --length 16 --rounds 1 "
    "--steps 1 --dtypes float32 bfloat16",
    "benchmarks/generation.py": "--small --rounds 1 --new 4 --prefill 8 --batches 1",
    "benchmarks/import_time.py": "--rounds 1",
    "benchmarks/masked_lm_step.py": "--batch 2 --length 16 --depth 1 --rounds 1 --steps 1 --no-compile "
    "--dtypes float32 bfloat16",
    "benchmarks/mixed_lengths.py": "--batch 2 --row 512 --rows 1 --depth 1 --rounds 1 --steps 1 "
    "--dtypes float32",
    "benchmarks/scoring.py": "--models gpt2-7m --pieces 40 --turn 256 --rounds 1 --dtypes float32",
    "benchmarks/scoring_host.py": "--texts 40 --rounds 1",
    "benchmarks/step_scores.py": "--small --rounds 1 --texts 2 --times 1",
    "protein_causal/compare.py": "--data FASTA --out OUT --seeds 1 --steps 2 --only clean",
    "protein_fitness/baselines.py": "--data FASTA",
    "protein_fitness/compare.py": "--data FASTA --out OUT --seeds 1 --steps 2 --only mean",
    "protein_masked/compare.py": "--data FASTA --out OUT --seeds 1 --steps 2 --only mask",
    "shakespeare_char/run.py": "TEXT --steps 100",
}
# The others do without the peers that they compare with, and say so.
NEEDS_TORCH = "benchmarks/generation.py"


def test_no_script_is_forgotten():
    scripts = {
        str(path.relative_to(EXPERIMENTS))
        for path in EXPERIMENTS.rglob("*.py")
        if not path.name.startswith(("_", "config")) and "import" in path.read_text()
    }
    modules = {
        "prototype/prototype.py",
        "markov/data.py",
        "protein_fitness/features.py",
        "protein_fitness/ranking.py",
    }
    assert scripts - modules - {"protein_masked/comparison.py"} == set(SMALL)


@pytest.mark.long
@pytest.mark.parametrize("script", SMALL)
def test_a_script_runs_to_its_end(script, tmp_path):
    if script == NEEDS_TORCH and not importlib.util.find_spec("torch"):
        pytest.skip("torch is not installed")
    draw = random.Random(0)
    sequences = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=24)) for _ in range(80))
    records = (f">{n}|name_A{n % 20 + 1}G|{n / 60:.3f}\n{sequence}\n" for n, sequence in enumerate(sequences))
    (tmp_path / "some.fasta").write_text("".join(records))
    (tmp_path / "some.txt").write_text("".join(f"LINE {n}: to be, or not to be\n" for n in range(120)))
    words = {"FASTA": "some.fasta", "TEXT": "some.txt", "OUT": "out"}
    options = [words.get(word, word) for word in SMALL[script].split()]
    # One device, as a person has.
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAXLM_CACHE": str(tmp_path / "cache"),
        "XLA_FLAGS": "",
    }
    command = [sys.executable, str(EXPERIMENTS / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"\d", done.stdout) and "Traceback" not in done.stderr
