"""Whatever of a corpus may not be read is said, and nothing is read twice."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jaxlm import data
from jaxlm.data.sources._local_files import find_local


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("corp/1.txt", "corp/sub/2.txt", "corp/sub/deep/3.txt", "other/4.txt", "corp/.git/5.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    return tmp_path


def found(*paths, format=None):
    return [file.name for file in data.find_files(list(paths), format)]


PATTERNS = ["corp", "corp/**/*.txt", "corp/**", "c*/s*/*", "**/*.txt"]


def refused(path, said):
    with pytest.raises(data.CorpusError, match=said) as caught:
        data.find_files([path])
    assert "\n" not in str(caught.value)


CLOSED = [(pattern, "corp/sub") for pattern in PATTERNS]
CLOSED += [(pattern, "corp/sub/deep") for pattern in PATTERNS if pattern != "c*/s*/*"]


@pytest.mark.parametrize(("pattern", "closed"), CLOSED)
def test_a_folder_that_may_not_be_listed_is_said(folder, monkeypatch, pattern, closed):
    real = os.scandir

    def scandir(path):
        if Path(path).absolute() == folder / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    refused(pattern, rf"{closed}: cannot be listed \(Permission denied\), and its files would be left out")


AS_NOBODY = """
import os, sys
from jaxlm import data
os.setgid(65534)
os.setuid(65534)
for path in sys.argv[1:]:
    try:
        print([file.name for file in data.find_files([path])])
    except data.CorpusError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be made by root alone")
def test_a_folder_that_another_user_may_not_list_is_said():
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        folder = Path(name, "corp")
        (folder / "sub").mkdir(parents=True)
        for one in ("1.txt", "sub/2.txt"):
            (folder / one).write_text("text")
        (folder / "sub").chmod(0)
        paths = [str(folder), f"{folder}/**/*.txt", f"{folder}/sub/2.txt", f"{folder}/1.txt"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", AS_NOBODY, *paths]
        lines = subprocess.run(command, capture_output=True, text=True, env=environment).stdout.splitlines()
    assert all("corp/sub: cannot be listed (Permission denied)" in line for line in lines[:2])
    assert "corp/sub/2.txt: cannot be looked at (Permission denied)" in lines[2] and lines[3] == "['1.txt']"


@pytest.mark.parametrize("name", ["broken.txt", "folder", "sub/broken.txt"])
@pytest.mark.parametrize("pattern", ["corp", "corp/**/*.txt", "corp/**"])
def test_a_broken_link_is_said(folder, pattern, name):
    (folder / "corp" / name).symlink_to("/nowhere/at/all")
    refused(pattern, rf"corp/{name}: a broken link, to '/nowhere/at/all'.*mend it or remove it")
    refused(f"corp/{name}", "a broken link")


def test_a_hidden_broken_link_is_passed_over(folder):
    (folder / "corp" / ".#1.txt").symlink_to("user@host.123")
    assert found("corp") == ["1.txt", "sub/2.txt", "sub/deep/3.txt"]


@pytest.mark.parametrize("pattern", ["corp", "corp/**/*.txt"])
def test_a_link_to_a_folder_is_followed_once(folder, pattern):
    (folder / "corp" / "linked").symlink_to(folder / "other")
    (folder / "corp" / "again").symlink_to("sub")
    (folder / "corp" / "sub" / "loop").symlink_to("..")
    assert found(pattern) == ["1.txt", "linked/4.txt", "sub/2.txt", "sub/deep/3.txt"]


def test_a_link_to_itself_is_said(folder):
    (folder / "corp" / "self").symlink_to("self")
    refused("corp", r"corp/self: cannot be looked at \(Too many levels of symbolic links\)")


@contextlib.contextmanager
def special(kind, path):
    """Makes something at a path that is no regular file."""
    if kind == "a pipe":
        os.mkfifo(path)
        yield path
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
            yield path
    else:
        path.symlink_to({"a device": "/dev/zero", "a tty": "/dev/tty"}[kind])
        yield path


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device"])
@pytest.mark.parametrize("pattern", ["corp/x.txt", "corp", "corp/*.txt", "corp/**"])
def test_what_is_no_regular_file_is_said_and_not_read(folder, kind, pattern):
    with special(kind, Path("corp", "x.txt")):
        refused(pattern, rf"corp/x\.txt: expected a regular file, .*, got {kind}; write what comes from it")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc/self/fd/{}"])
def test_devices_and_pipes_of_a_shell_are_said(path):
    reading, writing = os.pipe()
    try:
        for how in (None, "text"):
            with pytest.raises(data.CorpusError, match="expected a regular file"):
                data.find_files([path.format(reading)], how)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_behind_a_descriptor_is_one(folder):
    with open("corp/1.txt") as file:
        name = f"/proc/self/fd/{file.fileno()}"
        assert [one.format for one in data.find_files([name], "text")] == ["text"]


def test_a_special_file_that_would_not_be_read_is_none_of_the_corpus(folder):
    os.mkfifo("corp/x.pid")
    assert found("corp") == ["1.txt", "sub/2.txt", "sub/deep/3.txt"]


def test_strays_are_no_texts(folder):
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.txt", "sub/Thumbs.db"):
        (folder / "corp" / name).write_bytes(b"\xff\0")
    assert found("corp", format="text") == ["1.txt", "sub/2.txt", "sub/deep/3.txt"]


@pytest.mark.parametrize("pattern", ["corp", "corp/**", "corp/*/*.txt"])
def test_nor_are_the_folders_that_systems_keep_for_themselves(folder, monkeypatch, pattern):
    for name in ("lost+found", "System Volume Information", "@eaDir"):
        (folder / "corp" / name).mkdir()
        (folder / "corp" / name / "x.txt").write_text("no text")
    names = [Path(name).name for name in found(pattern)]
    assert "2.txt" in names and "x.txt" not in names


def test_patterns_match_what_those_of_python_do(folder):
    import glob

    (folder / "corp" / "odd[1].txt").write_text("")
    patterns = [
        "corp/*",
        "corp/**/*",
        "**/deep/*.txt",
        "*/*.txt",
        "corp/[12].txt",
        "corp/.*/*",
        "corp/sub/../*.txt",
    ]
    patterns += ["**", "corp/s?b/*", str(folder / "**" / "*.txt"), "./corp/*.txt", "corp/odd[[]1].txt"]
    for pattern in patterns:
        expected = {Path(one) for one in glob.glob(pattern, recursive=True) if os.path.isfile(one)}
        assert set(find_local(pattern)[1]) == expected, pattern


def test_a_home_that_nobody_has_is_one_line():
    refused("~no such user/x.txt", "nobody here has that home folder")
