import gzip

import pytest

from jaxlm import data, tokenizers


def test_formats_mix_and_keep_the_order_of_paths(tmp_path):
    (tmp_path / "c.txt").write_text("text\n")
    (tmp_path / "a.jsonl").write_text('{"text": "json"}\n')
    (tmp_path / "b.fasta.gz").write_bytes(gzip.compress(b">x\nMK\n"))
    records = list(data.open_source(tmp_path))
    assert [(record.id, record.text) for record in records] == [
        ("a.jsonl:1", "json"),
        ("x", "MK"),
        ("c.txt:1", "text"),
    ]


def test_a_text_file_of_traces_is_recognised_unless_told_otherwise(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ret\nxor  eax eax [NEXT] ret\n")
    assert [record.text for record in data.open_source(path)] == ["ret", "xor eax eax [NEXT] ret"]
    assert [record.text for record in data.open_source(path, "text")] == ["ret", "xor  eax eax [NEXT] ret"]
    assert len(list(data.open_source(path, document="file"))) == 1


def test_paths_are_checked_at_once_and_files_opened_late(tmp_path):
    with pytest.raises(data.CorpusError, match="no file or folder"):
        data.open_source(tmp_path / "not there")
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.jsonl").write_text("{\n")
    source = data.open_source([tmp_path / "a.txt", tmp_path / "b.jsonl"])
    assert next(source).text == "one"
    with pytest.raises(data.CorpusError, match=r"b\.jsonl:1: not JSON"):
        next(source)


def test_a_file_as_a_document_is_for_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(
        data.CorpusError, match=r"document 'file' is for text, but .*a\.jsonl .* jsonl; leave"
    ):
        data.open_source(tmp_path, document="file")
    with pytest.raises(data.CorpusError, match="document 'file' is for text"):
        data.prepare(
            data.DataConfig(paths=(str(tmp_path),), document="file"), tokenizers.TokenizerConfig(kind="bytes")
        )
    (tmp_path / "b.txt").write_text("two\nthree\n")
    texts = [record.text for record in data.open_source(tmp_path, document="file")]
    assert texts == ["one", "two\nthree\n"]
