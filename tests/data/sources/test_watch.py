"""A corpus that changes while it is read is refused, and leaves nothing behind."""

import os

import pytest

from jaxlm import data, tokenizers
from jaxlm.data import _corpus
from jaxlm.data.sources import _open, _watch

CONTENT = "".join(f"tale number {number} of a thousand and one\n" for number in range(300)).encode()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tales(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "other.txt").write_text("another file\n")
    path = tmp_path / "corpus" / "tales.txt"
    path.write_bytes(CONTENT)
    return path


def cut(path):
    os.truncate(path, len(CONTENT) // 3)


def grow(path):
    path.write_bytes(CONTENT + b"one more\n")


def replace(path):
    path.with_name("new").write_bytes(CONTENT.replace(b"tale", b"TALE"))
    os.replace(path.with_name("new"), path)


def rewrite_with_its_time(path):
    status = path.stat()
    path.write_bytes(CONTENT.replace(b"tale", b"TALE"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut_and_put_back(path):
    cut(path)
    path.write_bytes(CONTENT)


def touch_a_byte(path):
    with open(path, "r+b") as file:
        file.write(b"T")


EDITS = [cut, grow, replace, rewrite_with_its_time, cut_and_put_back, touch_a_byte, os.unlink]


def edited(monkeypatch, module, reader, path, edit, *, reading, at=150):
    """Edits a file at a record of the n-th call of a module's reader, from 1."""
    real, readings = getattr(module, reader), []

    def read(*arguments, **options):
        readings.append(None)
        number = len(readings)
        for place, record in enumerate(real(*arguments, **options)):
            if (number, place) == (reading, at):
                edit(path)
            yield record

    monkeypatch.setattr(module, reader, read)
    return readings


# The first reading divides the corpus, and stops once no split is empty.
@pytest.mark.parametrize(("reading", "at"), [(1, 1), (2, 150), (3, 150)])
@pytest.mark.parametrize("edit", EDITS)
def test_prepare_refuses_it_and_keeps_no_cache_of_it(tales, tmp_path, monkeypatch, edit, reading, at):
    config = data.DataConfig(paths=(str(tales.parent),))
    words = tokenizers.TokenizerConfig(vocab_size=600)
    with monkeypatch.context() as patched:
        readings = edited(patched, _corpus, "read_files", tales, edit, reading=reading, at=at)
        # What is gone when it is to be read once more cannot be.
        with pytest.raises(
            data.CorpusError, match=r"tales\.txt(: cannot be read| changed while it was read)"
        ) as caught:
            data.prepare(config, words)
        assert len(readings) >= reading and "\n" not in str(caught.value)
    tales.write_bytes(CONTENT)
    again = data.prepare(config, words)
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "clean"))
    clean = data.prepare(config, words)
    assert again.tokenizer == clean.tokenizer and again.fingerprint == clean.fingerprint
    for split, cache in clean.caches.items():
        assert cache.tokens.tolist() == again.caches[split].tokens.tolist()


@pytest.mark.parametrize("edit", EDITS)
def test_so_does_whoever_reads_it_once(tales, monkeypatch, edit):
    edited(monkeypatch, _open, "_items", tales, edit, reading=1, at=100)
    with pytest.raises(data.CorpusError, match=r"tales\.txt changed while it was read"):
        list(data.open_source(tales.parent))


def test_a_clock_with_long_ticks_hides_nothing(tales, monkeypatch):
    """Of a file that was just written the bytes are compared, too."""
    monkeypatch.setattr(_watch, "_state", lambda place: (len(CONTENT), 1 << 62, 1 << 62, 7))
    watch = _watch.FileWatch([tales])
    watch.check()
    replace(tales)
    with pytest.raises(data.CorpusError, match="changed while it was read"):
        watch.check()


def test_a_corpus_that_stays_is_no_change(tales):
    watch = _watch.FileWatch([tales, tales.with_name("other.txt")])
    tales.with_name("third.txt").write_text("of no concern\n")
    tales.read_bytes()
    watch.check()


def test_one_at_a_url_is_looked_at_too(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    stored, name = fsspec.filesystem("memory"), f"/{tmp_path.name}/a.txt"
    stored.pipe_file(name, b"one\ntwo\n")
    records = data.open_source(f"memory:/{name}")
    next(records)
    stored.pipe_file(name, b"one\nTWO\n")
    with pytest.raises(data.CorpusError, match=r"a\.txt changed while it was read"):
        list(records)


def test_the_digest_of_a_large_file_that_is_being_written_is_not_remembered(tales, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxlm.data.sources._versions.REMEMBERED_BYTES", 1)
    digest = data.file_digest(tales)
    assert not list(tmp_path.glob("cache/digests/*"))
    monkeypatch.setattr("jaxlm.data.sources._versions.STABLE_AFTER_NS", 0)
    assert data.file_digest(tales) == digest
    (remembered,) = tmp_path.glob("cache/digests/*")
    text = remembered.read_text()
    remembered.write_text(text.replace(digest, digest[:-1] + ("0" if digest[-1] != "0" else "1")))
    assert data.file_digest(tales) == digest
