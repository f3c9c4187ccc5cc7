import errno
import fcntl
import os
import subprocess
import sys

import pytest
from pyarrow import fs

from jaxlm.io import LocalStore, RemoteStore, _atomic, open_store


def memory(name):
    pytest.importorskip("fsspec")
    return open_store(f"memory://{name}")


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return open_store(tmp_path / "out") if request.param == "local" else memory(tmp_path.name)


def test_what_is_put_is_there(store):
    assert store.names() == set()
    store.put("job.json", b"{}")
    store.put("parts/part-000000.parquet", b"0123456789")
    store.put("job.json", b"[]")
    assert store.names() == {"job.json", "parts/part-000000.parquet"}
    assert store.read("job.json") == b"[]"
    assert store.read("parts/part-000000.parquet") == b"0123456789"


def test_the_steps_of_a_put(tmp_path, monkeypatch):
    """Bytes are on the disk before the name is, and the name is before anything after it."""
    store, said = LocalStore(tmp_path / "out"), []
    store.put("parts/old", b"")
    kinds = {}
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace")}

    def opened(path, *arguments):
        handle = real["open"](path, *arguments)
        kinds[handle] = "folder" if os.path.isdir(path) else "file"
        return handle

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "write", lambda h, data: (said.append("write"), real["write"](h, data))[1])
    monkeypatch.setattr(os, "fsync", lambda h: (said.append(f"sync {kinds[h]}"), real["fsync"](h))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (said.append("rename"), real["replace"](a, b))[1])
    store.put("parts/new", b"bytes")
    assert said == ["write", "sync file", "rename", "sync folder"]


def test_a_full_disk_names_the_file_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    store = LocalStore(tmp_path / "out")
    store.put("a", b"before")

    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_atomic.os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        store.put("a", b"after")
    assert caught.value.filename == str(tmp_path / "out" / "a")
    assert store.read("a") == b"before"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_a_folder_that_vanishes_is_not_made_anew(tmp_path, monkeypatch):
    store = LocalStore(tmp_path / "out")
    store.put("parts/a", b"a")
    (tmp_path / "out").rename(tmp_path / "aside")
    with pytest.raises(RuntimeError, match=r"out was removed or renamed .*: run the same command again$"):
        store.put("parts/b", b"b")
    assert not (tmp_path / "out").exists()
    (tmp_path / "aside").rename(tmp_path / "out")
    real = os.replace

    def replace(new, path):
        (tmp_path / "out" / "parts").rename(tmp_path / "out" / "aside")
        real(new, path)

    monkeypatch.setattr(_atomic.os, "replace", replace)
    with pytest.raises(RuntimeError, match="parts was removed or renamed"):
        store.put("parts/b", b"b")


def test_one_process_at_a_time(tmp_path):
    one, other = LocalStore(tmp_path / "out"), LocalStore(tmp_path / "out")
    with one.one_process("shard-1-of-2"):
        with (
            pytest.raises(ValueError, match=r"another process is at work in .* \(shard-1-of-2\)"),
            other.one_process("shard-1-of-2"),
        ):
            pass
        with other.one_process("shard-2-of-2"):
            pass
        assert one.names() == set()
    with other.one_process("shard-1-of-2"):
        pass


def test_a_lock_outlives_who_held_it(tmp_path):
    """Whoever opened the file before and locks it after must keep out whoever opens it then."""
    store = LocalStore(tmp_path)
    with store.one_process("shard-1-of-1"):
        waiting = os.open(tmp_path / ".shard-1-of-1.lock", os.O_RDWR)
    fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(ValueError, match="another process"), store.one_process("shard-1-of-1"):
        pass
    os.close(waiting)
    assert store.names() == set()


def test_leftovers_of_the_dead_are_no_files_and_are_cleared(tmp_path):
    store, host = LocalStore(tmp_path), os.uname().nodename
    store.put("parts/a", b"a")
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    kept = {
        f".b.0.{host}.{os.getppid()}.new",
        f".b.0.another-{host}.{dead.pid}.new",
        ".b.new",
        ".shard-1-of-2.lock",
    }
    for name in (*kept, f".b.0.{host}.{dead.pid}.new", f".b.0.{host}.{os.getpid()}.new"):
        (tmp_path / "parts" / name).write_bytes(b"half")
    assert store.names() == {"parts/a"}
    store.clear()
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"a", *kept}


def test_two_that_finish_at_once_leave_each_other_alone(tmp_path, monkeypatch):
    one, other, real = LocalStore(tmp_path), LocalStore(tmp_path), os.replace

    def replace(new, path):
        monkeypatch.setattr(_atomic.os, "replace", real)
        other.put("summary.json", b"{}")
        other.clear()
        real(new, path)

    monkeypatch.setattr(_atomic.os, "replace", replace)
    with one.one_process("shard-1-of-2"):
        one.put("summary.json", b"{}")
        with pytest.raises(ValueError, match="another process"), other.one_process("shard-1-of-2"):
            pass
    assert one.read("summary.json") == b"{}"


def test_half_an_object_is_not_published():
    class Stream:
        def write(self, payload):
            said.append("write")
            raise OSError("connection lost")

        def close(self):
            said.append("close")

    class Objects:
        def open_output_stream(self, path):
            said.append(path)
            return Stream()

    said = []
    with pytest.raises(OSError, match="connection lost"):
        RemoteStore("s3://a/b", Objects(), "a/b").put("c", b"payload")
    assert said == ["a/b/c", "write"]


def test_fsspec_puts_at_once(monkeypatch):
    """Its streams publish what they hold when they are closed, which they also are when they are lost."""
    fsspec = pytest.importorskip("fsspec")
    store, puts = memory("puts"), []
    monkeypatch.setattr(
        type(fsspec.filesystem("memory")), "pipe_file", lambda self, path, value: puts.append((path, value))
    )
    store.put("a", b"whole")
    assert [(path.rpartition("/")[2], value) for path, value in puts] == [("a", b"whole")]


def test_what_others_have_put_meanwhile_is_listed():
    fsspec = pytest.importorskip("fsspec")
    listed = {}

    class Remembering(fsspec.get_filesystem_class("memory")):
        """Asks for each list once, as what fsspec opens of S3 and Azure does."""

        cachable = False

        def ls(self, path, detail=True, **options):
            if path not in listed:
                listed[path] = super().ls(path, detail=True)
            return listed[path] if detail else [one["name"] for one in listed[path]]

        def invalidate_cache(self, path=None):
            listed.clear()

    store = RemoteStore("memory://lists", fs.PyFileSystem(fs.FSSpecHandler(Remembering())), "/lists")
    store.put("a", b"")
    assert store.names() == {"a"}
    memory("lists").put("b", b"")
    assert store.names() == {"a", "b"}


def test_what_a_store_does_not_do_is_one_line(monkeypatch):
    store = memory("asked")

    def fails(self, *arguments, **options):
        raise RuntimeError("no credentials\nand where they were looked for")

    with pytest.raises(OSError, match=r"^memory://asked/gone: cannot be read \(.*\)$"):
        store.read("gone")
    kind = type(store._fsspec)
    for name in ("pipe_file", "find", "isdir"):
        monkeypatch.setattr(kind, name, fails)
    with pytest.raises(OSError, match=r"^memory://asked/a: cannot be written \(no credentials\)$"):
        store.put("a", b"")
    with pytest.raises(OSError, match=r"^memory://asked/: cannot be listed \(no credentials\)$"):
        store.names()


def test_folders_are_made_and_buckets_are_not(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    store = open_store(f"local://{tmp_path}/new/out")
    store.put("parts/a", b"whole")
    assert (tmp_path / "new" / "out" / "parts" / "a").read_bytes() == b"whole"

    class Buckets(fsspec.get_filesystem_class("memory")):
        cachable = False

        def pipe_file(self, path, value):
            raise FileNotFoundError(2, "no such bucket")

    absent = RemoteStore("az://none/out", fs.PyFileSystem(fs.FSSpecHandler(Buckets())), "none/out")
    with pytest.raises(OSError, match=r"^az://none/out/a: cannot be written \(no such bucket\)$"):
        absent.put("a", b"")
    assert not Buckets().exists("none")


def test_places_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file: a job needs a folder"):
        LocalStore(tmp_path / "file").names()
    with pytest.raises(ValueError, match="nowhere://a: cannot be opened"):
        open_store("nowhere://a")
    assert open_store(f"file://{tmp_path}").place == str(tmp_path)
    assert open_store("memory://key:secret@a/b").place == "memory://a/b"
