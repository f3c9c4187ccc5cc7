import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data


def write(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=700)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_rows_of_all_row_groups_in_order(tmp_path, kind):
    texts = [f"row {number % 1000}" for number in range(2500)]
    path = write(tmp_path / "a.parquet", body=pa.array(texts).cast(kind), n=list(range(2500)))
    records = list(data.parquet_source(path, field="body"))
    assert [record.text for record in records] == texts
    assert [record.id for record in records] == [f"a.parquet:{row}" for row in range(2500)]


def test_null_counts_as_empty(tmp_path):
    path = write(tmp_path / "a.parquet", text=pa.array(["one", None, "three"]))
    assert [record.text for record in data.parquet_source(path)] == ["one", "", "three"]


def test_a_missing_column_names_those_there_are(tmp_path):
    path = write(tmp_path / "a.parquet", body=["one"], n=[1])
    with pytest.raises(
        data.CorpusError, match=r"a\.parquet: no column 'text'; the columns there are 'body', 'n'"
    ):
        list(data.parquet_source(path))
    with pytest.raises(data.CorpusError, match="column 'n' should hold text, got int64"):
        list(data.parquet_source(path, field="n"))


@pytest.mark.parametrize("cut", [0, 3, 40])
def test_a_damaged_file_is_one_line(tmp_path, cut):
    path = write(tmp_path / "a.parquet", text=["one"] * 100)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(data.CorpusError, match="cannot be read as Parquet") as caught:
        list(data.parquet_source(path))
    assert "\n" not in str(caught.value)


def test_a_text_that_is_not_utf8_is_named(tmp_path):
    texts = [b"fine"] * 1500
    texts[901] = b"ab\xff"
    lengths = [0, *[sum(map(len, texts[: end + 1])) for end in range(len(texts))]]
    buffers = [None, pa.array(lengths, pa.int32()).buffers()[1], pa.py_buffer(b"".join(texts))]
    path = write(tmp_path / "a.parquet", text=pa.Array.from_buffers(pa.string(), len(texts), buffers))
    with pytest.raises(
        data.CorpusError, match=r"a\.parquet: row group 1, row 901: not UTF-8 at byte 2 .*\(0xff\)"
    ):
        list(data.parquet_source(path))
