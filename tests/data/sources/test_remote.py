"""Corpora at URLs hold what the same files hold here; whatever goes wrong there is one line."""

import datetime
import glob
import gzip
import hashlib
import io
import json
import pickle

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from jaxlm import data
from jaxlm.data.sources import _remote, _versions
from jaxlm.data.sources._remote import RemotePath
from jaxlm.data.sources._remote_files import find_remote
from jaxlm.io import open_filesystem

TEXTS = [f"document {number} é" for number in range(300)]


@pytest.fixture
def folder(tmp_path):
    """A file of each format, and others."""
    place = tmp_path / "corpus"
    lines = "".join(f"{text}\n" for text in TEXTS)
    objects = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    cells = "".join(f"{text}\n" for text in ("text", *TEXTS))
    for name, payload in {
        "a.txt": lines.encode(),
        "b/a.jsonl.gz": gzip.compress(objects.encode()[:5000]) + gzip.compress(objects.encode()[5000:]),
        "b/b.csv": cells.encode(),
        "b/deep/c.fasta.gz": gzip.compress(b">one\nMKV\nLA\n>two\nGG\n"),
        "d.traces": b"xor eax eax [NEXT] ret\n",
        "traced.txt": b"xor eax eax [NEXT] ret\n",
        ".hidden/e.txt": b"never\n",
        "b/.f.txt": b"never\n",
        "note.pdf": b"",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(payload)
    with pa.output_stream(str(place / "z.txt.zst"), compression="zstd") as stream:
        stream.write(lines.encode())
    pq.write_table(pa.table({"text": TEXTS}), place / "b" / "p.parquet", row_group_size=70)
    return place


@pytest.fixture
def memory(folder):
    """The same in fsspec's memory."""
    filesystem = fsspec.filesystem("memory")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        filesystem.pipe_file(f"/{folder.parent.name}/{path.relative_to(folder)}", path.read_bytes())
    yield f"memory://{folder.parent.name}"
    filesystem.rm(f"/{folder.parent.name}", recursive=True)


@pytest.fixture
def bucket(folder, monkeypatch):
    """The same in a file system of pyarrow's that is no local one."""
    inside = fs.SubTreeFileSystem(str(folder.parent), fs.LocalFileSystem())
    monkeypatch.setattr(_remote, "open_filesystem", lambda url: (inside, "corpus"))
    _remote._opened.cache_clear()
    yield "s3://corpus"
    _remote._opened.cache_clear()


def records(place):
    """All that is said of each, but for the place."""
    return [record._replace(meta=record.meta | {"where": ""}) for record in data.open_source(place)]


@pytest.mark.parametrize("where", ["memory", "bucket", "file", "local"])
def test_records_are_those_of_the_same_files_here(folder, where, request):
    urls = {"file": f"file://{folder}", "local": f"local://{folder}"}
    url = urls.get(where) or request.getfixturevalue(where)
    expected = records(folder)
    assert len(expected) > 5 * len(TEXTS)
    assert records(url) == expected
    files = data.find_files([url])
    assert [file[1:] for file in files] == [file[1:] for file in data.find_files([str(folder)])]
    again = data.read_files(pickle.loads(pickle.dumps(files)), sniff=True)
    assert [record[:2] for record in again] == [record[:2] for record in expected]


@pytest.mark.parametrize(
    "pattern",
    ["*.txt", "b/*.jsonl.gz", "*/*", "**/*.csv", "**/c.*", "b/**", "?.txt", "[az].t*", "**/.f.txt", "*/d*/*"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["memory", "bucket"])
def test_patterns_match_what_they_match_here(folder, where, pattern, request):
    found = find_remote(f"{request.getfixturevalue(where)}/{pattern}")[1]
    expected = glob.glob(f"{folder}/{pattern}", recursive=True)
    names = {one.removeprefix(f"{folder}/") for one in expected if (folder / one).is_file()}
    assert {path.key for path in found} == names
    assert len(found) == len(names) > 0


@pytest.mark.parametrize("key", ["", "/b"])
def test_options_behind_a_folder_make_no_pattern_of_it(bucket, folder, key):
    found = data.find_files([f"{bucket}{key}?region=eu-north-1"])
    assert [file[1:] for file in found] == [file[1:] for file in data.find_files([f"{folder}{key}"])]


def test_no_folder_is_listed_that_can_hold_no_match(memory, monkeypatch):
    listed, real = [], fs.FileSelector
    monkeypatch.setattr(fs, "FileSelector", lambda path, **kw: (listed.append(path), real(path, **kw))[1])
    assert len(find_remote(f"{memory}/b/*.csv")[1]) == 1
    assert [path.rpartition("/")[2] for path in listed] == ["b"]


def test_each_once_and_those_here_before_those_that_are_not(memory, folder):
    files = data.find_files(
        [f"{memory}/a.txt", str(folder / "d.traces"), f"{memory}/*.txt", memory + "/a.txt"]
    )
    assert [file.path for file in files] == [
        folder / "d.traces", RemotePath(memory, "a.txt"), RemotePath(memory, "traced.txt")
    ]  # fmt: skip
    assert [file.name for file in files] == [
        str(folder / "d.traces"),
        f"{memory}/a.txt",
        f"{memory}/traced.txt",
    ]


@pytest.mark.parametrize("name", ["a.txt", "z.txt.zst", "a.txt.gz", "p.parquet"])
def test_a_file_is_streamed(tmp_path, monkeypatch, name):
    """The first record is there long before the last byte is asked for."""
    texts = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(40_000)]
    stored = io.BytesIO()
    lines = "".join(f"{text}\n" for text in texts).encode()
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": texts}), stored, row_group_size=4000)
    elif name.endswith(".zst"):
        stored = io.BytesIO(pa.compress(lines, "zstd", asbytes=True))
    else:
        stored.write(gzip.compress(lines, 1) if name.endswith(".gz") else lines)
    fsspec.filesystem("memory").pipe_file(f"/streamed/{name}", stored.getvalue())
    monkeypatch.setattr(_remote, "BYTES_A_REQUEST", 1 << 14)
    read, real = [0], _remote._RemoteStream.readinto
    monkeypatch.setattr(
        _remote._RemoteStream,
        "readinto",
        lambda self, buffer: (count := real(self, buffer), read.append(count))[0],
    )
    source = data.open_source(f"memory://streamed/{name}")
    assert next(source).text == texts[0]
    assert sum(read) < len(stored.getvalue()) / 4
    assert [record.text for record in source] == texts[1:]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{memory}/nothing.txt", "no file or folder at 'memory://.*/nothing.txt'; check the URL"),
        ("{memory}/*.md", r"no file matches the pattern 'memory://.*/\*\.md'; check it"),
        ("{memory}/note.pdf", "cannot tell the format of 'memory://.*/note.pdf' from its ending"),
        ("memory://no-such-bucket", "no file or folder at 'memory://no-such-bucket/'"),
        ("nowhere://a/b.txt", r"^nowhere://a: cannot be opened \(Protocol not known: nowhere\)$"),
        ("s3://a b/c.txt", "^s3://a b: cannot be opened"),
    ],
)
def test_a_wrong_url_is_one_line(memory, url, said):
    with pytest.raises(data.CorpusError, match=said) as caught:
        data.open_source(url.format(memory=memory))
    assert "\n" not in str(caught.value)


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    _remote._opened.cache_clear()
    with pytest.raises(data.CorpusError, match="opening memory:// needs fsspec: pip install fsspec"):
        data.open_source("memory://other/a.txt")


@pytest.mark.parametrize(("url", "seconds"), [("gs://a/b", 120), ("gs://a/b?retry_limit_seconds=7", 7)])
def test_googles_library_gives_up(url, seconds):
    filesystem, path = open_filesystem(url)
    assert path == "a/b"
    assert datetime.timedelta(seconds=seconds) in filesystem.__reduce__()[1][0].values()


def test_options_and_secrets_are_of_the_file_system():
    path = RemotePath.parse(
        "s3://key:secret@bucket/a/b.txt?region=eu-north-1&endpoint_override=http://[::1]:9"
    )
    assert path.key == "a/b.txt" and path.root.endswith("region=eu-north-1&endpoint_override=http://[::1]:9")
    assert str(path) == "s3://bucket/a/b.txt"
    page = RemotePath.parse("https://host/a.jsonl.gz?download=true")
    assert (page.root, page.suffixes, str(page)) == (
        "https://host", [".jsonl", ".gz"], "https://host/a.jsonl.gz?download=true"
    )  # fmt: skip


def test_no_message_has_a_secret():
    with pytest.raises(ValueError, match=r"^nowhere://a/b: cannot be opened"):
        open_filesystem("nowhere://key:secret@a/b")


def test_the_digest_is_what_the_store_says(memory, folder, monkeypatch):
    monkeypatch.setattr(_versions, "content_digest", None)
    said = data.file_digest(RemotePath(memory, "a.txt"))
    assert said.startswith(f"{(folder / 'a.txt').stat().st_size} bytes, modified 20")
    fsspec.filesystem("memory").pipe_file(f"/{memory.rpartition('/')[2]}/a.txt", b"other\n")
    assert data.file_digest(RemotePath(memory, "a.txt")) != said

    class Tagged(fsspec.get_filesystem_class("memory")):
        cachable = False

        def info(self, path, **options):
            return super().info(path, **options) | {"ETag": '"d41d8"', "LastModified": 7}

    tagged = fs.PyFileSystem(fs.FSSpecHandler(Tagged()))
    monkeypatch.setattr(_remote, "_opened", lambda root: (tagged, memory.rpartition("/")[2]))
    assert data.file_digest(RemotePath(memory, "a.txt")) == '6 bytes, ETag "d41d8"'


def test_what_pyarrow_says_is_size_and_time(bucket, folder, monkeypatch):
    monkeypatch.setattr(_versions, "content_digest", None)
    status = (folder / "a.txt").stat()
    assert (
        data.file_digest(RemotePath(bucket, "a.txt")) == f"{status.st_size} bytes, mtime {status.st_mtime_ns}"
    )
    assert data.file_version(RemotePath(bucket, "gone.txt")) is None


def test_a_store_that_says_nothing_is_read(memory, folder, monkeypatch):
    monkeypatch.setattr(_versions, "_told", lambda place: None)
    assert data.file_digest(RemotePath(memory, "a.txt")) == data.file_digest(folder / "a.txt")
    assert data.file_version(RemotePath(memory, "a.txt")) == f"{(folder / 'a.txt').stat().st_size} bytes"


def test_a_store_that_does_not_answer_says_of_no_change(memory, monkeypatch):
    def fails(self, path, **options):
        raise OSError("slow down")

    assert data.file_version(RemotePath(memory, "gone.txt")) is None
    with monkeypatch.context() as patched:
        patched.setattr(type(fsspec.filesystem("memory")), "info", fails)
        with pytest.raises(data.UnreachableError, match=r"a\.txt: cannot be read \(slow down\)"):
            data.file_version(RemotePath(memory, "a.txt"))


@pytest.mark.parametrize("name", ["a.txt", "b/a.jsonl.gz", "z.txt.zst", "b/b.csv", "b/p.parquet"])
@pytest.mark.parametrize("error", [OSError("slow down"), RuntimeError("a library's own\nand more")])
def test_a_connection_that_breaks_ends_the_reading_and_is_no_row(memory, monkeypatch, name, error):
    """A corpus read on behind it would have other documents than it has."""
    monkeypatch.setattr(_remote, "BYTES_A_REQUEST", 1 << 10)
    real, reads = _remote._RemoteStream.readinto, []

    class Breaking:
        """Of a file that has been opened: what comes after its beginning."""

        def readinto(self, buffer):
            raise error

        def close(self):
            pass

    def breaks(self, buffer):
        reads.append(name)
        if len(reads) > 1:
            self._file = Breaking()
        return real(self, buffer)

    monkeypatch.setattr(_remote._RemoteStream, "readinto", breaks)
    expected = rf"^memory://.*/{name.rpartition('/')[2]}: cannot be read \({str(error).splitlines()[0]}\)$"
    with pytest.raises(data.UnreachableError, match=expected):
        list(data.open_source(f"{memory}/{name}", broken="yield"))


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.parquet"])
def test_damaged_content_is_told_from_a_broken_connection(memory, name):
    where = memory.rpartition("/")[2]
    fsspec.filesystem("memory").pipe_file(f"/{where}/{name}", b"nothing of the kind")
    found = list(data.open_source(f"{memory}/{name}", broken="yield"))
    assert [type(one) for one in found] == [data.UnreadableRecord]


def test_estimates_look_at_the_beginnings_of_a_few(memory, folder, monkeypatch):
    exact = {file.name: data.estimate_records([file]) for file in data.find_files([str(folder)])}
    for file in data.find_files([memory]):
        assert data.estimate_records([file]) == exact[file.name]
    lines = b"a line of text\n" * 200_000
    for number in range(9):
        payload = lines if number % 2 else gzip.compress(lines)
        fsspec.filesystem("memory").pipe_file(f"/many/{number}.txt" + ("" if number % 2 else ".gz"), payload)
    read, real = [], _remote.RemotePath.open
    monkeypatch.setattr(_remote.RemotePath, "open", lambda self: (read.append(self), real(self))[1])
    assert data.estimate_records(data.find_files(["memory://many"])) == pytest.approx(9 * 200_000, rel=0.01)
    assert len(read) <= 4


def test_training_reads_them_too(memory):
    from jaxlm import tokenizers

    config = data.DataConfig(paths=(f"{memory}/a.txt",))
    prepared = data.prepare(config, tokenizers.TokenizerConfig(kind="bytes"))
    assert sum(map(len, prepared.caches.values())) == len(TEXTS)
