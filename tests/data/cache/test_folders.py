import errno
import logging
from pathlib import Path

import pytest

from jaxlm import data, io
from jaxlm.data.cache._folders import open_or_build
from jaxlm.io import DamagedError


def build(folder):
    (folder / "inner").mkdir()
    (folder / "inner" / "value").write_text("42")


def read(folder):
    try:
        return int((folder / "inner" / "value").read_text())
    except (OSError, ValueError) as error:
        raise DamagedError(str(error)) from error


def beside(folder):
    """What lies beside the folder, but for the lock."""
    return sorted(path.name for path in folder.parent.iterdir() if path != folder and path.suffix != ".lock")


def test_it_is_built_once_and_then_read(tmp_path):
    calls = []
    for _ in range(2):
        assert open_or_build(tmp_path / "a" / "it", lambda new: calls.append(build(new)), read) == 42
    assert len(calls) == 1 and beside(tmp_path / "a" / "it") == []


def test_a_damaged_folder_is_built_again_and_said_so(tmp_path, caplog):
    open_or_build(tmp_path / "it", build, read)
    (tmp_path / "it" / "inner" / "value").write_text("forty")
    with caplog.at_level(logging.WARNING):
        assert open_or_build(tmp_path / "it", build, read) == 42
    assert "is damaged" in caplog.text and beside(tmp_path / "it") == []


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    (tmp_path / "it.new-dead").mkdir()
    (tmp_path / "it.new-dead" / "half").write_text("x")
    assert open_or_build(tmp_path / "it", build, read) == 42
    assert beside(tmp_path / "it") == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no room on disk for the cache .*it; free some, or set JAXLM_CACHE"),
        (errno.EDQUOT, "no room on disk"),
        (errno.EROFS, "cannot write the cache .*it .*; set JAXLM_CACHE"),
    ],
)
def test_a_full_disk_leaves_nothing_behind(tmp_path, code, message):
    def fill(new):
        build(new)
        raise OSError(code, "as the disk says")

    with pytest.raises(data.CorpusError, match=message) as caught:
        open_or_build(tmp_path / "it", fill, read)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "it").exists() and beside(tmp_path / "it") == []


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    def fail(new):
        build(new)
        raise data.CorpusError("bad line")

    with pytest.raises(data.CorpusError, match="bad line"):
        open_or_build(tmp_path / "it", fail, read)
    assert not (tmp_path / "it").exists() and beside(tmp_path / "it") == []


def test_a_file_where_the_cache_should_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(data.CorpusError, match="cannot write the cache"):
        open_or_build(tmp_path / "file" / "it", build, read)


def test_another_process_that_was_first_wins_even_without_locks(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr("fcntl.flock", no_locks)

    def late(new):
        build(new)
        (new / "inner" / "value").write_text("7")
        other = tmp_path / "it"
        other.mkdir()
        build(other)

    assert open_or_build(tmp_path / "it", late, read) == 42
    assert beside(tmp_path / "it") == []


def test_the_root_follows_the_environment(monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", "/own")
    assert io.cache_root() == Path("/own")
    monkeypatch.delenv("JAXLM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert io.cache_root() == Path("/xdg/jaxlm")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert io.cache_root() == Path.home() / ".cache" / "jaxlm"


@pytest.mark.parametrize("place", ["~nobody-of-that-name/x", "~nobody-of-that-name"])
def test_a_home_that_is_none_is_one_line(monkeypatch, place):
    monkeypatch.setenv("JAXLM_CACHE", place)
    with pytest.raises(ValueError, match=r"JAXLM_CACHE: no home folder for .*; write the whole path"):
        io.cache_root()
