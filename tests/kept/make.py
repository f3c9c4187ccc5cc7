"""Makes the runs and jobs that a later version must open, go on with and end as this one did.

`python -m tests.kept.make` writes kept.tar.xz beside this file. It is run again only to add to what is kept:
what an earlier version has written stays.
"""

import contextlib
import io
import json
import os
import platform
import random
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from tests import conftest  # noqa: F401  (the compiler's flags, before JAX is imported)

import jax  # isort: skip

from jaxlm import cli, training

ARCHIVE = Path(__file__).with_name("kept.tar.xz")
SMALL = {"width": 16, "depth": 2, "num_heads": 2, "max_length": 32}
RUN = {"steps": 8, "batch_size": 8, "save_every": 4, "eval_every": 4, "log_every": 2, "keep_last": 1}
TEXT = {"paths": ["tales.txt"], "row_length": 32, "validation_share": 0.2, "test_share": 0.2}
# As an experiment.json of the version that wrote them has it; what is left out takes its default.
EXPERIMENTS = {
    "masked": {
        "data": TEXT | {"paths": ["code.traces"]},
        "tokenizer": {"vocab_size": 600},
        "model": SMALL | {"position": "instruction", "depth": 1},
        "run": RUN,
    },
    "causal": {
        "data": TEXT,
        "tokenizer": {"kind": "bytes"},
        "model": SMALL
        | {
            "causal": True,
            "position": "rotary",
            "rotary_scaling": "yarn",
            "rotary_factor": 2.0,
            "rotary_length": 16,
            "activation": "swiglu",
            "norm": "rms",
            "head": "linear",
        },
        "run": RUN | {"objective": "causal_lm"},
    },
    "spans": {
        "data": TEXT,
        "tokenizer": {"kind": "bytes", "sentinels": 4},
        "model": SMALL | {"position": "relative", "decoder_depth": 1, "decoder_mlp_width": 24},
        "run": RUN | {"objective": "seq2seq_lm"},
    },
    "classes": {
        "data": TEXT | {"label_pattern": "^(\\w+)", "paths": ["tales.txt"]},
        "tokenizer": {"kind": "bytes"},
        "model": SMALL | {"embedding_norm": True, "position_offset": 2, "max_length": 34},
        "run": RUN | {"objective": "classification"},
    },
}
# Commands that score, and the folder that each writes.
JOBS = {
    "log-likelihood": ["score", "runs/causal", "tales.txt", "--tokens"],
    "pseudo-log-likelihood": ["score", "runs/masked", "code.traces"],
}
PARTS = ["--part-documents", "12"]


def environment() -> dict[str, str]:
    """Returns what the last bits of a number depend on."""
    words = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = next((line.split(":")[1].split() for line in words.splitlines() if line.startswith("flags")), [])
    return {
        "jax": jax.__version__,
        "machine": platform.machine(),
        "vectors": " ".join(sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma")))),
        "cores": str(os.cpu_count()),
        "xla_flags": os.environ["XLA_FLAGS"],
    }


def write_corpora() -> None:
    """Writes 60 lines of text and 60 traces into the folder at hand."""
    draw = random.Random(7)
    names, acts = ["anna", "bert", "cleo"], ["sees", "finds", "calls"]
    tales = [
        f"{draw.choice(names)} {draw.choice(acts)} {draw.randint(2, 99)} {draw.choice(['cats', 'birds'])}"
        for _ in range(60)
    ]
    Path("tales.txt").write_text("".join(f"{line}\n" for line in tales))
    opcodes, operands = ["mov", "add", "xor", "ret", "jmp"], ["rax", "rbx", "0", "-8"]

    def instruction() -> str:
        return " ".join([draw.choice(opcodes), *draw.sample(operands, draw.randint(0, 2))])

    traces = [" [NEXT] ".join(instruction() for _ in range(draw.randint(2, 6))) for _ in range(60)]
    Path("code.traces").write_text("".join(f"{line}\n" for line in traces))


def run_command(words: list[str]) -> None:
    """Runs a command of `jaxlm`, silently unless it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(words)
    if code:
        raise SystemExit(f"{' '.join(words)}: {code}\n{said.getvalue()}")


def make(folder: Path) -> None:
    """Makes everything in an empty folder: corpora, `cut/` what was stopped half way, and what it became."""
    os.chdir(folder)
    write_corpora()
    for name, values in EXPERIMENTS.items():
        experiment = training.Experiment.from_dict(values)
        for event in training.train(experiment, f"runs/{name}", devices=jax.local_devices()[:1]):
            if isinstance(event, training.Saved) and event.step == 4:
                shutil.copytree(f"runs/{name}", f"cut/runs/{name}")
        shutil.rmtree(f"runs/{name}/checkpoints")
    for name, words in JOBS.items():
        run_command([*words, "--out", f"jobs/{name}", *PARTS, "--shard", "1/2"])
        shutil.copytree(f"jobs/{name}", f"cut/jobs/{name}")
        run_command([*words, "--out", f"jobs/{name}", *PARTS])
    Path("environment.json").write_text(json.dumps(environment(), indent=1))


def main() -> None:
    if ARCHIVE.exists():
        sys.exit(f"{ARCHIVE} is what an earlier version has written, and stays: name another in make.py")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAXLM_CACHE"] = f"{folder}/cache"
        made = Path(folder, "kept")
        made.mkdir()
        make(made)
        with tarfile.open(ARCHIVE, "w:xz") as archive:
            archive.add(made, arcname=".")


if __name__ == "__main__":
    main()
