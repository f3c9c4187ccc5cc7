"""Whatever keeps a file from being written, a command says it in a line, exits 1, and can be called again."""

import contextlib
import errno
import os
import random
import resource
import shutil
import sys
from pathlib import Path

import jax
import pytest

from jaxlm.cli import main
from jaxlm.devices import enable_compilation_cache

NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
CREATE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
TINY = ("--width", "8", "--depth", "1", "--num-heads", "2", "--row-length", "16", "--batch-size", "8")
TRAIN = ("train", "--data", "corpus.txt", "--out", "run", *TINY, "--steps", "4", "--run.save-every", "2")
COMMANDS = {
    "train": TRAIN,
    "score": ("score", "model", "corpus.txt", "--out", "scores", "--part-documents", "20"),
    "convert": ("convert", "model", "converted"),
}
# Of each command: which of its writes fail in the daily run.
SAMPLE = [("train", 3), ("train", 20), ("score", 1), ("score", 6), ("convert", 0), ("convert", 4)]


class Disk:
    """Counts what is created or renamed below a folder, and fails one of these.

    Python tells a hook of each before it happens; a hook stays for the life of the process.
    """

    def __init__(self) -> None:
        self.folder, self.count, self.failing, self.number = None, 0, -1, 0
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def failing_at(self, folder: Path, which: int = -1, number: int = 0):
        """Fails the write of that place, from 0, with the system's number."""
        self.folder, self.count, self.failing, self.number = str(folder), 0, which, number
        try:
            yield self
        finally:
            self.folder = None

    def _hook(self, event, arguments):
        if self.folder is None or event not in ("open", "os.mkdir", "os.rename"):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & CREATE):
            return
        path = arguments[1] if event == "os.rename" else arguments[0]
        if not isinstance(path, (str, os.PathLike)) or self.folder not in os.path.abspath(os.fspath(path)):
            return
        self.count += 1
        if self.count - 1 == self.failing:
            raise OSError(self.number, os.strerror(self.number), os.fspath(path))


@pytest.fixture(scope="module")
def disk():
    return Disk()


@pytest.fixture
def here(tmp_path, monkeypatch, gpt2_folder):
    """A folder with a corpus and a model, a cache of its own, and compiled programs elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    draw, words = random.Random(0), ["the", "a", "red", "blue", "cat", "dog", "house", "river", "sees"]
    lines = [" ".join(draw.choice(words) for _ in range(draw.randint(5, 25))) for _ in range(60)]
    (folder / "corpus.txt").write_text("\n".join(lines))
    (folder / "model").symlink_to(gpt2_folder)
    enable_compilation_cache(os.environ["JAXLM_CACHE"] + "/compiled")
    monkeypatch.setenv("JAXLM_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    return folder


def again(command):
    """The command that goes on after the one given: the same, and of a run that has begun with --resume."""
    return (
        [*command, "--resume"] if command[0] == "train" and Path("run/experiment.json").exists() else command
    )


def check_failure(command, code, said):
    assert code == 1, said
    last = said.splitlines()[-1]
    assert last.startswith(f"jaxlm {command[0]}: ") and "; " in last, said
    assert "Traceback" not in said and "failed at" not in said and ".partial" not in last, said


def check_goes_on(command, capsys, folder):
    assert main(again(command)) == 0, capsys.readouterr().err
    left = [path for path in folder.rglob("*") if path.name.endswith((".partial", ".new", ".converting"))]
    assert not [*left, *folder.rglob(".saving-*"), *folder.rglob("*.new-*")]
    assert "Traceback" not in capsys.readouterr().err


def fail_and_go_on(name, which, number, here, disk, capsys):
    """Fails one write of a command and calls it again; returns False where it has no write of that place."""
    command = list(COMMANDS[name])
    with disk.failing_at(here, which, number):
        code = main(command)
    said = capsys.readouterr().err
    if disk.count <= which:
        assert code == 0
        return False
    check_failure(command, code, said)
    check_goes_on(command, capsys, here)
    return True


@pytest.mark.parametrize(("name", "which"), SAMPLE)
def test_some_writes_that_fail(name, which, here, disk, capsys):
    assert fail_and_go_on(name, which, NUMBERS[which % len(NUMBERS)], here, disk, capsys)


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_every_write_that_fails(name, here, disk, capsys):
    """Each place in turn, with the system's numbers in turn."""
    which = 0
    while fail_and_go_on(name, which, NUMBERS[which % len(NUMBERS)], here, disk, capsys):
        which += 1
        if which % 10 == 0:
            jax.clear_caches()  # each call has traced programs of its own, which would fill the memory
        for made in ("run", "scores", "converted", "cache"):
            shutil.rmtree(here / made, ignore_errors=True)
    assert which > 4


@contextlib.contextmanager
def largest_file(size):
    """Has the system refuse what makes a file larger, in every library, as `ulimit -f` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("name", "size"), [("train", 30_000), ("score", 500), ("convert", 5000)])
def test_a_file_that_is_too_large(name, size, here, capfd):
    command = list(COMMANDS[name])
    with largest_file(size):
        code = main(command)
    said = capfd.readouterr().err
    check_failure(command, code, said)
    assert "is larger than a file may be here; " in said and "raise the limit (ulimit -f), then " in said
    check_goes_on(command, capfd, here)
