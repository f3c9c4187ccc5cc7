import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data
from jaxlm.data._annotations import annotate, crop_record

VARIANT = data.Record("7|lactamase_R164K|0.25", "MKV", {"description": "a variant", "where": "a.fasta:3"})


def config(**fields):
    return data.DataConfig(paths=("a",), **fields)


def test_the_first_group_of_a_pattern_counts():
    fields = {"group_pattern": r"_[A-Z](\d+)[A-Z]", "label_pattern": r"\|([-\d.e]+)(?: |$)"}
    assert annotate(VARIANT, config(**fields)).meta == {
        "description": "a variant",
        "where": "a.fasta:3",
        "group": "164",
        "label": "0.25",
    }
    assert annotate(VARIANT, config(label_pattern="(variant)")).meta["label"] == "variant"


def test_a_group_that_takes_no_part_leaves_the_record_alone():
    fields = {"group_pattern": r"_(?:wt|[A-Z](\d+)[A-Z])"}
    assert "group" not in annotate(data.Record("x_wt", "MKV", {"group": "module"}), config(**fields)).meta


def test_a_field_is_taken_whole_or_searched():
    record = data.Record("a:1", "MKV", {"kind": "class=cat", "group": "one"})
    assert annotate(record, config(label_field="kind")).meta == {"label": "class=cat", "group": "one"}
    assert annotate(record, config(label_field="kind", label_pattern="=(.*)")).meta["label"] == "cat"
    assert annotate(record, config(group_field="kind")).meta == {"group": "class=cat"}
    assert annotate(record, config(label_field="group")).meta == {"label": "one", "kind": "class=cat"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"label_pattern": r"fitness=(\S+)"},
            r"a.fasta:3: record 7\|lact.*label_pattern .* finds nothing in '7",
        ),
        ({"group_pattern": r"chain(\d)"}, "group_pattern .* finds nothing"),
        ({"label_pattern": r"lactamase(x?)"}, "expected a label, found an empty one"),
        ({"label_pattern": r"lactamase(x)?"}, "expected a label, found an empty one"),
    ],
)
def test_what_is_not_found_is_named(fields, message):
    with pytest.raises(data.CorpusError, match=message) as caught:
        annotate(VARIANT, config(**fields))
    assert "\n" not in str(caught.value)


def rows():
    return [{"text": f"text {number}", "score": number / 2, "kind": "ab"[number % 2]} for number in range(4)]


def write(tmp_path, name, rows):
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_sources_keep_the_fields_asked_for(tmp_path, name):
    records = list(data.open_source(write(tmp_path, name, rows()), fields=("score", "kind")))
    assert [record.meta for record in records] == [
        {"score": str(row["score"]), "kind": row["kind"]} for row in rows()
    ]
    assert [record.text for record in records] == [row["text"] for row in rows()]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_field_without_value_or_of_another_kind_is_named(tmp_path, name):
    path = write(tmp_path, name, [*rows(), {"text": "last", "score": None, "kind": "a"}])
    *_, last = data.open_source(path, fields=("score", "kind"))
    assert last.meta == {"kind": "a"}
    for asked in ({"label_field": "score"}, {"group_field": "score"}):
        with pytest.raises(data.CorpusError, match=r"expected a (label|group) in 'score', found null"):
            annotate(last, data.DataConfig(**asked))
    with pytest.raises(data.CorpusError, match=r"'weight'; the (fields|columns) there are"):
        list(data.open_source(path, fields=("weight",)))
    path = write(tmp_path, name, [{"text": "a", "score": [1]}])
    with pytest.raises(data.CorpusError, match=r"'score' should hold .* got list"):
        list(data.open_source(path, fields=("score",)))


def test_files_without_fields_refuse_them(tmp_path):
    (tmp_path / "a.fasta").write_text(">a\nMKV\n")
    with pytest.raises(data.CorpusError, match="of format 'fasta' has no field 'score'; leave it out, or"):
        data.open_source(tmp_path / "a.fasta", fields=("score",))


@pytest.mark.parametrize(("place", "kept"), [(1, "MKT"), (2, "MKTA"), (3, "MKTAY"), (5, "TAYI"), (6, "AYI")])
def test_a_window_is_around_its_centre(place, kept):
    asked = config(window=5, center_pattern=r"_[A-Z](\d+)")
    record = data.Record(f"x_A{place}K", "MKTAYI", {})
    assert crop_record(record, asked) == record._replace(text=kept)
    assert crop_record(record, config()) is record


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x_A7K", "x_A7K: expected the place of a character from 1 to 6 as the window's centre, found '7'"),
        ("x_A0K", "found '0'"),
        ("x_wt", "found None"),
        ("x", "center_pattern .* finds nothing in 'x'"),
    ],
)
def test_a_centre_outside_the_text_is_named(name, message):
    asked = config(window=5, center_pattern=r"_(?:wt|[A-Z](\d+))")
    with pytest.raises(data.CorpusError, match=message):
        crop_record(data.Record(name, "MKTAYI", {}), asked)
