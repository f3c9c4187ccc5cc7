"""A file is the old one or the new one, and nothing half written stays."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxlm import io

CHILD = """
import os, sys
from jaxlm import io
def write(partial):
    partial.write_text("ha")
    os.kill(os.getpid(), 9)
io.write_atomically(sys.argv[1], write)
"""


def test_it_is_replaced_as_a_whole(tmp_path):
    io.write_text(tmp_path / "a", "old")
    io.write_text(tmp_path / "a", "né")
    assert (tmp_path / "a").read_bytes() == "né".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("at", ["Path.touch", "Path.write_text", "Path.chmod", "os.fsync", "os.replace"])
def test_an_error_at_any_step_leaves_the_old_file_alone(tmp_path, monkeypatch, at):
    def fails(*arguments, **options):
        raise OSError(errno.EIO, "?")

    io.write_text(tmp_path / "a", "old")
    kind, name = at.split(".")
    with monkeypatch.context() as patched:
        patched.setattr({"Path": Path, "os": os}[kind], name, fails)
        with pytest.raises(io.WriteError) as caught:
            io.write_text(tmp_path / "a", "new")
    assert caught.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_what_a_kill_leaves_is_cleared(tmp_path):
    (tmp_path / "a").write_text("old")
    environment = os.environ | {"PYTHONPATH": str(Path(io.__file__).parents[2])}
    child = subprocess.run([sys.executable, "-c", CHILD, tmp_path / "a"], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 2
    (tmp_path / "thesis.partial").write_text("mine")
    io.clear_partials(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "thesis.partial"]
    assert (tmp_path / "a").read_text() == "old"
    io.clear_partials(tmp_path / "none")
