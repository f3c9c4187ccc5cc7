"""Compressions and archives that nothing here reads: the remedy is to decompress them."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile

import pyarrow as pa
import pytest

from jaxlm import data
from jaxlm.data.sources._containers import UNREADABLE_CONTAINERS

LINE = b'{"text": "one"}\n'


def tar(payload):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("a.jsonl")
        info.size = len(payload)
        archive.addfile(info, io.BytesIO(payload))
    return file.getvalue()


def zipped(payload):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jsonl", payload)
    return file.getvalue()


def lz4(payload):
    return pa.Codec("lz4").compress(payload, asbytes=True)


PACKED = {
    "bzip2": bz2.compress(LINE),
    "xz": lzma.compress(LINE),
    "lzma": lzma.compress(LINE, lzma.FORMAT_ALONE),
    "lz4": lz4(LINE),
    "zip": zipped(LINE),
    "tar": tar(LINE),
    "7-Zip": b"7z\xbc\xaf\x27\x1c\0\x04",
    "RAR": b"Rar!\x1a\x07\x01\0",
    "compress": b"\x1f\x9d\x90a",
    "snappy": b"\xff\x06\0\0sNaPpY\0",
    "lzip": b"LZIP\x01\x0c",
    "lzop": b"\x89LZO\0\r\n\x1a\n\x10",
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.fasta", "a.csv", "a.parquet", "a"])
def test_by_its_ending_and_in_a_folder(tmp_path, name, caplog):
    for number, ending in enumerate([*UNREADABLE_CONTAINERS, ".Z", ".tar.gz", ".tar.zst", ".BZ2"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / f"{name}{ending}"
        path.write_bytes(b"whatever")
        for asked in (path, folder, folder / "*"):
            with pytest.raises(
                data.CorpusError, match=r"(compressed by|an archive) .*decompress it"
            ) as caught:
                data.find_files([str(asked)])
            assert "\n" not in str(caught.value) and path.name in str(caught.value)
        (folder / "b.jsonl").write_bytes(LINE)
        caplog.clear()
        assert [file.name for file in data.find_files([str(folder)])] == ["b.jsonl"]
        assert "passed over 1 of the files" in caplog.text and "decompress it" in caplog.text


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.fasta", "a.csv", "a.traces"])
def test_by_its_first_bytes_whatever_it_is_called(tmp_path, name):
    path = tmp_path / name
    for container, payload in PACKED.items():
        path.write_bytes(payload)
        with pytest.raises(data.CorpusError, match=rf"{container}.*decompress it") as caught:
            list(data.open_source(path))
        assert name in str(caught.value)
        (one,) = data.open_source_with_errors(path)
        assert isinstance(one, data.UnreadableRecord)


def test_what_is_read_under_another_name_and_what_is_compressed_twice(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(LINE))
    with pytest.raises(data.CorpusError, match=r"compressed by gzip, which its name does not say; .*in \.gz"):
        list(data.open_source(tmp_path / "a.jsonl"))
    (tmp_path / "b.jsonl.gz").write_bytes(bz2.compress(LINE))
    with pytest.raises(data.CorpusError, match=r"compressed by bzip2.*decompress it"):
        list(data.open_source(tmp_path / "b.jsonl.gz"))
    for name, container in (("c.jsonl.gz", "bzip2"), ("d.jsonl.gz", "tar"), ("e.jsonl.gz", "gzip")):
        inner = gzip.compress(LINE) if container == "gzip" else PACKED[container]
        (tmp_path / name).write_bytes(gzip.compress(inner))
        said = rf"what it decompresses to is .*{re.escape(container)}.*decompress it"
        with pytest.raises(data.CorpusError, match=said):
            list(data.open_source(tmp_path / name))


def test_texts_that_begin_like_one_are_texts(tmp_path):
    for text in ("BZh is how such files begin\n", "PK\n", "]\n", "LZIP\n", "Rar!\n", "7z\n"):
        (tmp_path / "a.txt").write_text(text)
        assert [record.text for record in data.open_source(tmp_path / "a.txt")] == [text.strip()]
