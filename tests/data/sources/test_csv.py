import gzip

import pyarrow
import pytest

from jaxlm import data


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_quotes_line_ends_and_blank_lines(tmp_path):
    path = write(tmp_path / "a.csv", 'id,text\r\n1,plain\r\n\r\n2,"two\nlines, ""quoted"""\r\n3,é\r\n')
    records = list(data.csv_source(path, fields=["id"]))
    assert [record.text for record in records] == ["plain", 'two\nlines, "quoted"', "é"]
    assert [record.id for record in records] == ["a.csv:2", "a.csv:4", "a.csv:6"]
    assert [record.meta for record in records] == [{"id": "1"}, {"id": "2"}, {"id": "3"}]


def test_tabs_compression_and_a_cell_of_a_megabyte(tmp_path):
    text = f"text\tn\n{'a b, ' * 200_000}\t1\n".encode()
    plain = data.csv_source(write(tmp_path / "a.tsv", text))
    zipped = data.csv_source(write(tmp_path / "b.tsv.gz", gzip.compress(text)))
    with pyarrow.output_stream(str(tmp_path / "c.tsv.zst"), compression="zstd") as stream:
        stream.write(text)
    packed = data.csv_source(tmp_path / "c.tsv.zst")
    assert [len(next(source).text) for source in (plain, zipped, packed)] == [1_000_000] * 3


@pytest.mark.parametrize("source", [data.open_source, data.open_source_with_errors])
def test_a_missing_column_names_those_there_are(tmp_path, source):
    path = write(tmp_path / "a.csv", "body,n\none,1\n")
    with pytest.raises(
        data.CorpusError, match=r"a\.csv: no column 'text'; the columns there are 'body', 'n'"
    ):
        list(source(path))
    with pytest.raises(data.CorpusError, match="no column 'year'"):
        list(source(path, field="body", fields=["year"]))


def test_headers_that_are_none(tmp_path):
    with pytest.raises(data.CorpusError, match="no header"):
        list(data.csv_source(write(tmp_path / "a.csv", "")))
    with pytest.raises(data.CorpusError, match="names column 'text' twice"):
        list(data.csv_source(write(tmp_path / "b.csv", "text,text\n")))


def test_broken_rows_stop_or_stand_in_the_stream(tmp_path):
    path = write(tmp_path / "a.csv", b'text,n\none,1\ntwo\n"th"ree,3\nf\xe9ur,4\nfive,5\n')
    with pytest.raises(data.CorpusError, match=r"a\.csv:3: expected 2 cells as the header has, got 1"):
        list(data.csv_source(path))
    found = list(data.open_source_with_errors(path))
    assert [one.id for one in found] == [f"a.csv:{line}" for line in (2, 3, 4, 5, 6)]
    assert [type(one) for one in found] == [
        data.Record,
        data.UnreadableRecord,
        data.UnreadableRecord,
        data.UnreadableRecord,
        data.Record,
    ]
    assert "not CSV" in found[2].error
    assert "not UTF-8" in found[3].error


def test_it_is_a_format_like_the_others(tmp_path):
    write(tmp_path / "a.csv", "text\none\n")
    write(tmp_path / "b.jsonl", '{"text": "two"}\n')
    assert [record.text for record in data.open_source(tmp_path)] == ["one", "two"]
    write(tmp_path / "odd.ending", "text\nthree\n")
    assert [record.text for record in data.open_source(tmp_path / "odd.ending", "csv")] == ["three"]
