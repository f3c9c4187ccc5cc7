"""A source that yields its errors goes on after a record that it cannot read."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data


def test_lines_of_text_and_traces(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\xff\nthree\n")
    for format in ("text", "traces"):
        found = list(data.open_source_with_errors(path, format))
        assert found[0] == data.Record("a.txt:1", "one", {})
        error = f"{path}:2: not UTF-8 at byte 4 (0xff); convert the file, for instance with iconv -t UTF-8"
        assert found[1] == data.UnreadableRecord("a.txt:2", error)
        assert found[2].text == "three"
    whole = list(data.open_source_with_errors(path, document="file"))
    assert [type(one) for one in whole] == [data.UnreadableRecord]


def test_lines_of_json(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": \n{"body": "three"}\n{"text": 4}\n\n{"text": "six"}\n')
    found = list(data.open_source_with_errors(path))
    assert [one.id for one in found] == [f"a.jsonl:{line}" for line in (1, 2, 3, 4, 6)]
    assert [isinstance(one, data.UnreadableRecord) for one in found] == [False, True, True, True, False]
    with pytest.raises(data.CorpusError, match=r"a\.jsonl:1: no field 'body'; the fields there are 'text'"):
        list(data.open_source_with_errors(path, field="body"))


def test_sequences(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_bytes(b"MKV\nLAA\n>a first\nMK\n>b\nM\xffK\nMKK\n>c\nGG\n")
    found = list(data.open_source_with_errors(path))
    assert [one.id for one in found] == ["a.fasta:1", "a", "b", "c"]
    assert [type(one) for one in found] == [
        data.UnreadableRecord,
        data.Record,
        data.UnreadableRecord,
        data.Record,
    ]
    assert "expected a '>' header before the first sequence, got 'MKV'" in found[0].error
    assert found[3].text == "GG"


def test_row_groups(tmp_path):
    path = tmp_path / "a.parquet"
    texts = [f"row {number}" * 20 for number in range(300)]
    pq.write_table(
        pa.table({"text": texts}), path, row_group_size=100, compression="none", use_dictionary=False
    )
    chunk = pq.read_metadata(path).row_group(1).column(0)
    payload = bytearray(path.read_bytes())
    payload[chunk.data_page_offset : chunk.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(payload)
    found = list(data.open_source_with_errors(path))
    assert [one.id for one in found[:100]] == [f"a.parquet:{row}" for row in range(100)]
    assert found[100].id == "a.parquet:row group 1"
    assert [one.id for one in found[101:]] == [f"a.parquet:{row}" for row in range(200, 300)]
    with pytest.raises(data.CorpusError, match=r"a\.parquet: row group 1: cannot be read"):
        list(data.parquet_source(path))
    (tmp_path / "b.parquet").write_bytes(b"no Parquet at all")
    found = data.open_source_with_errors(tmp_path / "b.parquet")
    assert [one.id for one in found] == ["b.parquet"]


def test_a_whole_corpus(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{\n')
    (tmp_path / "b.txt.gz").write_bytes(b"no gzip")
    (tmp_path / "c.txt").write_text("three\n")
    found = list(data.open_source_with_errors(tmp_path))
    assert [one.id for one in found] == ["a.jsonl:1", "a.jsonl:2", "b.txt.gz:1", "c.txt:1"]


def test_estimates(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "b.fasta").write_text(">a\nMK\nMK\n>b\nMK\n")
    (tmp_path / "c.txt").write_text("three\nfour")
    (tmp_path / "d.csv").write_text("text\nfive\nsix\n")
    pq.write_table(pa.table({"text": ["seven"] * 5}), tmp_path / "e.parquet")
    files = data.find_files([str(tmp_path)])
    assert [data.estimate_records([file]) for file in files] == [2, 2, 2, 2, 5]
    assert data.estimate_records(files[2:3], document="file") == 1
    (tmp_path / "c.txt.gz").write_bytes(b"no gzip")
    assert data.estimate_records(data.find_files([str(tmp_path / "c.txt.gz")])) == 0
