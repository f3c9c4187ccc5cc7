"""Whatever a file holds, what is said of it is a line written for it: the last resort is never reached.

Files are damaged, seeds fixed, 20,000 of each kind of place that holds some, and read by the door that reads
the file and, one in thirty, by all that a command reads of its place. A few of each file run daily, all with
`pytest --long --dist load tests/test_mutated_files.py`, which by hand reads JAXLM_MUTANTS of each.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutated_files import FILES, KINDS, last_resorts, silence

ROOT = Path(__file__).parents[1]
DAILY = 6
EACH = os.environ.get("JAXLM_MUTANTS", "20000")


@pytest.mark.parametrize("which", FILES)
def test_a_few_of_each_file(which, tmp_path):
    with silence():
        assert last_resorts(which, tmp_path, DAILY) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_20_000_of_each_kind(kind):
    """In a process of its own, without the checks of types that take most of the time here."""
    command = [sys.executable, "-m", "tests.mutated_files", kind, EACH, str(DAILY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout[:2000] + done.stderr[-2000:]
