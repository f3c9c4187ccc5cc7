"""Whoever only decodes or scores does not wait for training, an optimiser or a checkpoint library."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("jaxlm.training", "optax", "orbax", "grain", "tensorstore", "scipy")
# Runs a command and says what of these modules this process has by then.
CHILD = f"""
import json, sys
from jaxlm.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, [name for name in {HEAVY} if name in sys.modules]]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "kind", "arguments"),
    [
        ("next", "causal_lm", ["To be", "--target", " or"]),
        ("fill", "masked_lm", ["To [MASK]e"]),
        ("generate", "causal_lm", ["To be", "--max-new-tokens", "2"]),
        ("attribute", "causal_lm", ["To be", "--target", " or", "--method", "saliency"]),
        ("score", "causal_lm", ["{tmp}/corpus.txt", "--out", "{tmp}/out"]),
        ("embed", "masked_lm", ["To be"]),
    ],
)
def test_a_command_imports_what_it_uses(causal_folder, tmp_path, command, kind, arguments):
    (tmp_path / "corpus.txt").write_text("To be\nor not\n")
    arguments = [text.format(tmp=tmp_path) for text in arguments]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, command, str(causal_folder / kind), *arguments],
        env=os.environ | {"XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    code, heavy = json.loads(child.stderr.splitlines()[-1])
    assert code == 0, child.stderr
    assert heavy == []
