import pytest

from jaxlm import data


def test_each_line_that_is_not_blank_is_a_document(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\n  \n two\nthree")
    assert list(data.text_source(tmp_path / "a.txt")) == [
        data.Record("a.txt:1", "one", {}),
        data.Record("a.txt:4", " two", {}),
        data.Record("a.txt:5", "three", {}),
    ]


def test_only_newlines_end_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("a\u2028b\x0cc\rd\n", newline="")
    assert [record.text for record in data.text_source(tmp_path / "a.txt")] == ["a\u2028b\x0cc\rd"]


def test_a_whole_file_is_a_document_if_asked(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert list(data.text_source(tmp_path / "a.txt", document="file")) == [
        data.Record("a.txt", "one\n\ntwo\n", {})
    ]


def test_traces_are_single_spaced(tmp_path):
    (tmp_path / "a.traces").write_text("xor  eax eax\t[NEXT] ret \n\nret\n")
    texts = [record.text for record in data.traces_source(tmp_path / "a.traces")]
    assert texts == ["xor eax eax [NEXT] ret", "ret"]


def test_jsonl_reads_the_field_and_counts_null_as_empty(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"body": "one", "n": 1}\n\n{"body": null}\n{"body": "thr\\u00e9e"}\n')
    records = list(data.jsonl_source(tmp_path / "a.jsonl", field="body"))
    assert [(record.id, record.text) for record in records] == [
        ("a.jsonl:1", "one"),
        ("a.jsonl:3", ""),
        ("a.jsonl:4", "thrée"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', r"a\.jsonl:2: not JSON \(Unterminated string"),
        ('["text"]', r"a\.jsonl:2: expected a JSON object a line, got list"),
        ('{"body": "x", "n": 1}', r"a\.jsonl:2: no field 'text'; the fields there are 'body', 'n': name one"),
        ("{}", r"the fields there are none"),
        ('{"text": [1]}', r"a\.jsonl:2: field 'text' should hold text, got list"),
        ("[" * 100_000, r"a\.jsonl:2: not JSON"),
        ('{"text": "x", "n": ' + "9" * 5000 + "}", r"a\.jsonl:2: JSON that cannot be read .* shorten"),
        (r'{"text": "ab\ud800"}', r"a\.jsonl:2: field 'text' is not text at character 2 \(\\ud800, half"),
    ],
)
def test_a_bad_jsonl_line_is_named_and_those_before_it_are_served(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + line + "\n")
    source = data.jsonl_source(tmp_path / "a.jsonl")
    assert next(source).text == "good"
    with pytest.raises(data.CorpusError, match=message) as caught:
        next(source)
    assert "\n" not in str(caught.value)


def test_sources_are_lazy(tmp_path):
    for source in (
        data.text_source,
        data.jsonl_source,
        data.fasta_source,
        data.parquet_source,
        data.traces_source,
    ):
        source(tmp_path / "not there")
