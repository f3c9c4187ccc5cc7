"""A job in a process of its own, killed at random moments."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scoring.fakes import contents, run

ROOT = Path(__file__).parents[3]
# A few of these fill a pipe: the child is never far ahead of what was read of it.
LINE = b"." * 16383 + b"\n"
SCRIPT = """
import os, sys
from tests.scoring.fakes import Fake, run
class Telling(Fake):
    def __call__(self, records):
        for row in super().__call__(records):
            os.write(1, b"." * 16383 + b"\\n")
            yield row
run(sys.argv[1], scorer=Telling())
"""


@pytest.mark.long
def test_killed_at_random_moments_until_it_is_done(tmp_path):
    run(tmp_path / "whole")
    draw, killed = random.Random(0), 0
    while killed < 3 and _is_killed(tmp_path / "out", after=draw.randrange(2, 30)):
        killed += 1
    run(tmp_path / "out")
    assert killed > 1
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def _is_killed(out: Path, after: int) -> bool:
    """Runs the job and kills it some documents later; False if it was done by then."""
    command = [sys.executable, "-c", SCRIPT, str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT) as child:
        for _ in range(after):
            if child.stdout.read(len(LINE)) != LINE:
                break
        child.send_signal(signal.SIGKILL)
    return child.returncode == -signal.SIGKILL
