import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data


def write(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=700)
    return path


# Of pyarrow and pandas; of Polars from 1.38 and DataFusion; of writers that note no type of text.
KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]
KINDS += [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int16(), pa.large_string())]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_all_row_groups_in_order(tmp_path, kind):
    texts = [f"row {number % 1000}" for number in range(2500)]
    values = [text.encode() for text in texts] if "binary" in str(kind) else texts
    column = pa.array(values) if pa.types.is_dictionary(kind) else pa.array(values, kind)
    path = write(tmp_path / "a.parquet", body=column.cast(kind), n=list(range(2500)))
    records = list(data.parquet_source(path, field="body"))
    assert [record.text for record in records] == texts
    assert [record.id for record in records] == [f"a.parquet:{row}" for row in range(2500)]


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), pa.large_string()])
def test_null_counts_as_empty(tmp_path, kind):
    path = write(tmp_path / "a.parquet", text=pa.array(["one", None, "three"], kind))
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


def test_bytes_that_are_no_text_are_named_where_they_are(tmp_path):
    path = write(tmp_path / "a.parquet", text=pa.array([b"one", b"\xff", None, "é".encode()], pa.binary()))
    found = list(data.open_source_with_errors(path))
    assert [getattr(one, "text", None) for one in found] == ["one", None, "", "é"]
    assert "row 1: not UTF-8 at byte 0 of the text (0xff)" in found[1].error


def test_further_columns_may_be_decimals_and_have_nulls(tmp_path):
    columns = {"a": pa.array([1, None]), "b": pa.array(["1.50", None]).cast(pa.decimal128(5, 2))}
    columns |= {"c": pa.array(["x", None], pa.string_view())}
    path = write(tmp_path / "a.parquet", text=["one", "two"], **columns)
    records = list(data.parquet_source(path, fields=list(columns)))
    assert [record.meta for record in records] == [{"a": "1", "b": "1.50", "c": "x"}, {}]


def test_a_column_that_stands_twice_or_has_no_name_is_told(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from jaxlm import data

    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(data.CorpusError, match="2 columns are called 'text'; rename one"):
        list(data.open_source(tmp_path / "twice.parquet"))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "name.parquet")
    damaged = (tmp_path / "name.parquet").read_bytes().replace(b"text", b"te\xff\xfe")
    (tmp_path / "name.parquet").write_bytes(damaged)
    with pytest.raises(data.CorpusError, match="cannot be read as Parquet"):
        list(data.open_source(tmp_path / "name.parquet"))
