"""The user's ids and columns travel into the parts, with their types."""

import datetime
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data, scoring
from jaxlm.scoring.jobs._kept_columns import with_kept_columns
from tests.scoring.fakes import Fake, contents, run

TEXTS = ["one word", "a b c d e f g", "two words", "three of them"]  # of seven words there is no score
WHEN = datetime.datetime(2024, 5, 17, 12, 30, tzinfo=datetime.UTC)
ROWS = [
    {"id": f"doc-{n}", "text": text, "year": 1990 + n, "share": n / 4, "good": n % 2 == 0, "tags": ["x"] * n}
    for n, text in enumerate(TEXTS)
]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = (",".join("" if one is None else str(one) for one in row.values()) for row in rows)
        path.write_text(",".join(rows[0]) + "\n" + "\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parts(out, paths, keep=(), **options):
    corpus = scoring.file_source([str(path) for path in paths], keep=keep, **options)
    finished = run(out, corpus=corpus, config=scoring.JobConfig())
    return finished, pa.concat_tables(scoring.read_parts(str(out)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv"])
def test_ids_and_columns_stand_beside_scores_and_errors(tmp_path, name):
    names = ["year", "share", "good"] + ["tags"] * (name != "a.csv")
    rows = ROWS if name != "a.csv" else [{key: row[key] for key in ("id", "text", *names)} for row in ROWS]
    finished, table = parts(tmp_path / "out", [write(tmp_path / name, rows)], names)
    assert table.column_names[: 2 + len(names)] == ["index", "id", *names]
    found = table.to_pylist()
    shown = str if name == "a.csv" else lambda value: value
    for row, expected in zip(found, rows, strict=True):
        assert {key: row[key] for key in ("id", *names)} == {
            key: shown(expected[key]) for key in ("id", *names)
        }
    assert found[1]["error"] is not None and found[0]["num_tokens"] == 2
    if name != "a.csv":
        kinds = [pa.int64(), pa.float64(), pa.bool_()]
        assert [table.schema.field(one).type for one in names[:3]] == kinds
        assert pa.types.is_list(table.schema.field("tags").type)
    assert set(finished.summary["columns"]) == {"num_tokens", "num_scored", "log_likelihood"}
    items = scoring.item_rows(table, "token").to_pylist()
    assert items[0]["id"] == "doc-0" and items[0]["year"] == shown(1990)


PARQUET = {
    "timestamp": pa.array([WHEN, None, WHEN, WHEN], pa.timestamp("ns", tz="UTC")),
    "date": pa.array([WHEN.date(), None] * 2),
    "decimal": pa.array([decimal.Decimal("1.50"), None] * 2),
    "small": pa.array([1, None, 3, 4], pa.int8()),
    "half": pa.array([1.5, None, 3, 4], pa.float32()),
    "view": pa.array(["x", None, "y", "z"], pa.string_view()),
    "large": pa.array(["x", None, "y", "z"], pa.large_string()),
    "category": pa.array(["x", None, "y", "x"]).dictionary_encode(),
    "bytes": pa.array([b"x", None, b"\xff", b""], pa.binary()),
    "nested": pa.array([{"a": 1, "b": ["x"]}, None, {"a": 2, "b": None}, {"a": None, "b": []}]),
    "nothing": pa.array([None] * 4),
}


def test_every_type_of_parquet_is_kept(tmp_path):
    table = pa.table({"text": TEXTS, **PARQUET})
    pq.write_table(table, tmp_path / "a.parquet")
    _, found = parts(tmp_path / "out", [tmp_path / "a.parquet"], list(PARQUET))
    for name, column in PARQUET.items():
        assert found[name].to_pylist() == column.to_pylist(), name
        plain = {"view": pa.string(), "category": pa.string(), "nothing": pa.string()}
        assert found.schema.field(name).type == plain.get(name, column.type), name


def test_rows_without_an_id_or_with_none_to_speak_of_are_named_by_file_and_line(tmp_path):
    rows = [
        {"text": "one"},
        {"id": None, "text": "two"},
        {"id": 7, "text": "three"},
        {"id": {}, "text": "four"},
    ]
    _, table = parts(tmp_path / "out", [write(tmp_path / "a.jsonl", rows)])
    assert table["id"].to_pylist() == ["a.jsonl:1", "a.jsonl:2", "7", "a.jsonl:4"]
    (tmp_path / "b.csv").write_text("id,text\n,one\n x7 ,two\n")
    _, table = parts(tmp_path / "csv", [tmp_path / "b.csv"])
    assert table["id"].to_pylist() == ["b.csv:2", "x7"]
    pq.write_table(
        pa.table({"id": pa.array([3, None], pa.int32()), "text": ["one", "two"]}), tmp_path / "c.parquet"
    )
    _, table = parts(tmp_path / "parquet", [tmp_path / "c.parquet"])
    assert table["id"].to_pylist() == ["3", "c.parquet:1"]


def test_an_id_that_is_asked_for_is_there_once_and_must_be_there(tmp_path):
    path = write(tmp_path / "a.jsonl", ROWS)
    _, table = parts(tmp_path / "out", [path], ["id", "year", "year"])
    assert table.column_names[:3] == ["index", "id", "year"]
    with pytest.raises(
        data.CorpusError, match=r"a\.jsonl: no field 'id' to keep; the fields there are 'text'"
    ):
        scoring.file_source([str(write(tmp_path / "a.jsonl", [{"text": "one"}]))], keep=["id"])


@pytest.mark.parametrize("name", ["index", "error", "num_tokens", "log_likelihood", "token_log_probs"])
def test_names_that_scores_have_are_refused_in_one_line(tmp_path, name):
    path = write(tmp_path / "a.jsonl", [{"text": "one", name: 1}])
    with pytest.raises(scoring.ScoreError, match=f"--keep {name}: the scores have a column of that name"):
        parts(tmp_path / "out", [path], [name])
    assert not (tmp_path / "out").exists() or not contents(tmp_path / "out")


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv"])
def test_a_column_that_is_not_there_names_those_that_are(tmp_path, name):
    write(tmp_path / name, [{"text": "one", "year": 1}])
    with pytest.raises(data.CorpusError, match=r"no (field|column) 'yaer'.*'text', 'year'"):
        parts(tmp_path / "out", [tmp_path / name], ["yaer"])


def test_files_without_columns_refuse_them(tmp_path):
    (tmp_path / "a.fasta").write_text(">a\nMK\n")
    with pytest.raises(data.CorpusError, match=r"has no field 'year'; .*, or give the texts as JSONL"):
        scoring.file_source([str(tmp_path / "a.fasta")], keep=["year"])


def test_a_value_of_another_type_is_the_error_of_its_record(tmp_path):
    odd = ["x", float("inf"), float("nan"), 2**70, True, [1], 0.5]
    rows = [{"text": "one", "n": 1}] * 1200 + [{"text": "two", "n": value} for value in odd]
    rows += [{"text": "three"}, {"text": "four", "n": 2.0}]
    _, table = parts(tmp_path / "out", [write(tmp_path / "a.jsonl", rows)], ["n"])
    *refused, without, whole = table.to_pylist()[1200:]
    for line, row in enumerate(refused, start=1201):
        assert f"a.jsonl:{line}: the field 'n' that is kept should hold int64" in row["error"]
    assert (without["n"], without["error"], whole["n"]) == (None, None, 2)
    with pytest.raises(data.CorpusError, match=r"a\.jsonl:1201"):
        parts(tmp_path / "stop", [tmp_path / "a.jsonl"], ["n"], on_error="stop")


def test_mixed_values_and_objects_of_json_are_kept_as_their_json(tmp_path):
    rows = [
        {"text": "one", "m": 1, "o": {"a": [1]}},
        {"text": "two", "m": "x", "o": None},
        {"text": "ö", "m": [2]},
    ]
    _, table = parts(tmp_path / "out", [write(tmp_path / "a.jsonl", rows)], ["m", "o"])
    assert table["m"].to_pylist() == ["1", "x", "[2]"] and table["o"].to_pylist() == [
        '{"a": [1]}',
        None,
        None,
    ]


def test_files_of_several_formats_agree_on_a_type(tmp_path):
    write(tmp_path / "a.jsonl", [{"text": "one", "n": 1}])
    pq.write_table(pa.table({"text": ["two"], "n": pa.array([2.5], pa.float32())}), tmp_path / "b.parquet")
    _, table = parts(tmp_path / "out", [tmp_path], ["n"])
    assert table["n"].to_pylist() == [1.0, 2.5] and table.schema.field("n").type == pa.float64()
    write(tmp_path / "c.csv", [{"text": "three", "n": "007"}])
    _, table = parts(
        tmp_path / "more", [tmp_path / name for name in ("a.jsonl", "b.parquet", "c.csv")], ["n"]
    )
    assert table["n"].to_pylist() == ["1", "2.5", "007"]
    pq.write_table(pa.table({"text": ["two"], "n": [[1]]}), tmp_path / "b.parquet")
    with pytest.raises(data.CorpusError, match=r"'n' that is kept is .* here and .* in another file"):
        scoring.file_source([str(tmp_path)], keep=["n"])


def test_shards_and_a_job_gone_on_with_leave_the_same_bytes(tmp_path):
    path = write(tmp_path / "a.jsonl", ROWS * 9)
    small = {"config": scoring.JobConfig(part_documents=4)}
    run(tmp_path / "whole", corpus=scoring.file_source([str(path)], keep=["year", "tags"]), **small)
    for shard in ((2, 2), (1, 2)):
        corpus = scoring.file_source([str(path)], keep=["year", "tags"])
        run(tmp_path / "parts", corpus=corpus, config=scoring.JobConfig(part_documents=4, shard=shard))
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    with pytest.raises(ValueError, match=r"holds another job, what differs .*corpus\.keep"):
        run(tmp_path / "parts", corpus=scoring.file_source([str(path)], keep=["year"]), **small)


def test_an_error_that_ends_a_job_says_where_the_record_is(tmp_path):
    corpus = scoring.file_source([str(write(tmp_path / "a.jsonl", ROWS))])
    with pytest.raises(scoring.ScoreError, match=r"a\.jsonl:2: record doc-1: 7 words: expected others"):
        run(tmp_path / "out", corpus=corpus, config=scoring.JobConfig(on_error="stop"))


def test_the_wrapped_scorer_tells_what_its_engine_has_done():
    scorer = Fake()
    wrapped = with_kept_columns(scorer, pa.schema([("year", pa.int64())]))
    assert wrapped.work is None and with_kept_columns(scorer, pa.schema([])) is scorer
    scorer.work = scoring.WorkCounts(queries=3)
    assert wrapped.work is scorer.work
