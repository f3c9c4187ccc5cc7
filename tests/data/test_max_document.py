"""A document that is longer than documents may be is refused, in every format, and is never held whole."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data
from jaxlm.data._corpus import find_corpus

MOST = 100
SHORT, LONG = "short one", "x" * 5000


def lines_of(format, texts):
    if format == "jsonl":
        return "".join(json.dumps({"text": text}) + "\n" for text in texts)
    if format == "csv":
        return "text\n" + "".join(f'"{text}"\n' for text in texts)
    if format == "csv of many lines":
        return "text\n" + "".join('"' + text.replace("xxxxxxxxxx", "xxxxxxxxx\n") + '"\n' for text in texts)
    if format == "fasta":
        return "".join(f">{n}\n{text.replace(' ', '')}\n" for n, text in enumerate(texts))
    if format == "fasta of many lines":
        rows = ("\n".join(text[at : at + 9] for at in range(0, len(text), 9)) for text in texts)
        return "".join(f">{n}\n{row}\n" for n, row in enumerate(rows))
    return "".join(f"{text}\n" for text in texts)


def written(folder, format, ending, texts):
    path = folder / f"c.{format.split()[0].replace('text', 'txt')}{ending}"
    content = lines_of(format, texts).encode()
    if ending == ".gz":
        content = gzip.compress(content)
    if ending == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)
    return path


FORMATS = ["text", "jsonl", "csv", "csv of many lines", "fasta", "fasta of many lines"]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_long_document_is_one_error_and_the_others_are_read(tmp_path, format, ending):
    path = written(tmp_path, format, ending, [SHORT, LONG, SHORT])
    found = list(data.open_source_with_errors(path, max_document=MOST))
    texts = [one.text.replace(" ", "") for one in found if isinstance(one, data.Record)]
    errors = [one.error for one in found if isinstance(one, data.UnreadableRecord)]
    # What is left of a row that is cut in the middle of a cell may be further rows that are none.
    assert texts[0] == "shortone" and (texts[-1] == "shortone" or "csv" in format) and errors
    assert "more than 100 bytes" in errors[0] and str(path) in errors[0]
    with pytest.raises(data.CorpusError, match="raise max_document"):
        list(data.open_source(path, max_document=MOST))
    assert len(list(data.open_source(path, max_document=20_000))) == 3


def test_a_whole_file_and_a_cell_of_parquet(tmp_path):
    path = written(tmp_path, "text", ".gz", [SHORT] * 30)
    with pytest.raises(data.CorpusError, match="more than 100 bytes"):
        list(data.open_source(path, document="file", max_document=MOST))
    assert len(list(data.open_source(path, document="file", max_document=300))) == 1
    pq.write_table(pa.table({"text": [SHORT, LONG, "é" * 60, SHORT]}), tmp_path / "c.parquet")
    found = list(data.open_source_with_errors(tmp_path / "c.parquet", max_document=MOST))
    assert [isinstance(one, data.UnreadableRecord) for one in found] == [False, True, True, False]


@pytest.mark.parametrize("format", ["text", "jsonl", "csv", "fasta"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_memory_is_that_of_the_limit(tmp_path, format, ending):
    """50 MB of zeros without a line end, in a file of some kB."""
    path = tmp_path / f"c.{format.replace('text', 'txt')}{ending}"
    opening = b">a\n" if format == "fasta" else b""
    block = b"0" * (1 << 20)
    if ending == ".gz":
        with gzip.open(path, "wb", 1) as file:
            file.write(opening)
            for _ in range(50):
                file.write(block)
    else:
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(opening)
            for _ in range(50):
                file.write(block)
    tracemalloc.start()
    try:
        with pytest.raises(data.CorpusError):
            list(data.open_source(path, max_document=1 << 16))
        stopped = tracemalloc.get_traced_memory()[1]
        list(data.open_source_with_errors(path, max_document=1 << 16)) if format == "text" else None
        yielded = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stopped < 12 << 20 and yielded < 12 << 20


def test_what_a_config_says_is_followed(tmp_path):
    path = written(tmp_path, "text", "", [f"{SHORT} {n}" for n in range(50)] + [LONG])
    config = data.DataConfig(paths=(str(path),), max_document=1000)
    with pytest.raises(data.CorpusError, match="more than 1,000 bytes"):
        list(find_corpus(config).records())
    with pytest.raises(ValueError, match="max_document"):
        data.DataConfig(max_document=0)


def test_a_document_has_64_mib_unless_said(tmp_path):
    """In a compressed file of some kB, which claims that many bytes and one more for a line."""
    path = tmp_path / "c.txt.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        for _ in range(64):
            file.write(b"0" * (1 << 20))
        file.write(b"0\n" + SHORT.encode())
    too_long, short = data.open_source_with_errors(path)
    assert isinstance(too_long, data.UnreadableRecord) and "more than 67,108,864 bytes" in too_long.error
    assert isinstance(short, data.Record) and short.text == SHORT
    assert data.DataConfig().max_document == data.MAX_DOCUMENT == 64 * 1024**2
