import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import data
from jaxlm.scoring.jobs._part_files import origin_of
from jaxlm.scoring.jobs._parts import Part, encode_part, plan_parts
from jaxlm.scoring.jobs._plan import Plan
from tests.scoring.fakes import RECORDS, Fake


@given(
    sizes=st.lists(st.integers(0, 9), max_size=40),
    documents=st.integers(1, 7),
    characters=st.integers(1, 20),
)
def test_parts_are_the_corpus_in_order_and_none_is_larger_than_it_must_be(sizes, documents, characters):
    records = [data.Record(str(n), "x" * size, {}) for n, size in enumerate(sizes)]
    parts = list(plan_parts([lambda: records], part_documents=documents, part_characters=characters))
    assert [record for part in parts for record in part.documents] == records
    assert [part.number for part in parts] == list(range(len(parts)))
    for part in parts:
        assert part.size == len(part.documents) <= documents
        assert sum(len(record.text) for record in part.documents[:-1]) < characters
    for part in parts[:-1]:
        assert part.size == documents or sum(len(one.text) for one in part.documents) >= characters


@given(wanted=st.sets(st.integers(0, 12)))
def test_the_plan_does_not_depend_on_what_is_wanted(wanted):
    cut = {"part_documents": 5, "part_characters": 300}
    every = list(plan_parts([lambda: RECORDS], **cut))
    some = list(plan_parts([lambda: RECORDS], wanted=wanted.__contains__, **cut))
    assert [part[:3] for part in every] == [part[:3] for part in some]
    assert [len(part.documents) for part in some] == [
        part.size if part.number in wanted else 0 for part in every
    ]


@given(
    pieces=st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8),
    wanted=st.lists(st.sets(st.integers(0, 20)), min_size=2, max_size=3),
    known=st.integers(0, 9),
)
def test_what_is_known_of_a_plan_changes_no_part_and_spares_pieces(pieces, wanted, known):
    """Whatever was wanted before, whatever is now, and wherever what is known ends."""
    cut = {"part_documents": 4, "part_characters": 15}
    records = [
        [data.Record(f"{n}.{m}", "x" * size, {}) for m, size in enumerate(one)]
        for n, one in enumerate(pieces)
    ]
    files, read = [], []
    for number, one in enumerate(records):
        files.append(lambda number=number, one=one: (read.append(number), one)[1])
    every = list(plan_parts([lambda: [record for one in records for record in one]], **cut))
    plan = Plan()
    for chosen in wanted:
        some = list(plan_parts(files, wanted=chosen.__contains__, plan=plan, **cut))
        assert [part[:3] for part in some] == [part[:3] for part in every]
        for part, whole in zip(some, every, strict=True):
            assert list(part.documents) == (list(whole.documents) if part.number in chosen else [])
        assert len(plan.cuts) == len(files) + 1
        plan = Plan(plan.cuts[: known + 1])
        plan.sizes = [part.size for part in every[: plan.cuts[-1].part]]
    read.clear()
    whole = Plan()
    list(plan_parts(files, wanted=lambda number: False, plan=whole, **cut))
    assert read == list(range(len(files)))
    list(plan_parts(files, wanted=lambda number: False, plan=whole, **cut))
    assert read == list(range(len(files)))


def encoded(**options):
    part = Part(3, 100, 12, RECORDS[:12])
    return encode_part(Fake.schema, part, list(Fake()(RECORDS[:12])), job="abc", **options)


def test_a_part_says_what_it_is():
    payload = encoded()
    table = pq.read_table(io.BytesIO(payload))
    assert table.column_names == [
        *("index", "id", "num_tokens", "num_scored", "log_likelihood", "token_log_probs", "error")
    ]
    assert table["index"].to_pylist() == list(range(100, 112))
    assert table["id"].to_pylist() == [record.id for record in RECORDS[:12]]
    assert table["log_likelihood"].to_pylist()[:2] == [-3.0, -13.5]
    assert table.schema.field("log_likelihood").metadata == {b"unit": b"nats", b"tokens": b"num_scored"}
    assert pq.read_metadata(io.BytesIO(payload)).row_group(0).column(0).compression == "ZSTD"
    kept = pq.read_metadata(io.BytesIO(payload)).metadata
    assert {name: kept[name] for name in (b"job", b"part", b"first", b"documents")} == {
        b"job": b"abc",
        b"part": b"3",
        b"first": b"100",
        b"documents": b"12",
    }
    assert origin_of(payload) == ("abc", 3, True)
    assert encoded() == payload


def test_errors_have_no_number():
    table = pq.read_table(io.BytesIO(encoded()))
    failed = table.filter(pa.compute.is_valid(table["error"]))
    assert failed["error"].to_pylist() == ["7 words: expected others"]
    for name in ("num_tokens", "log_likelihood", "token_log_probs"):
        assert failed[name].to_pylist() == [None]


def test_bits_where_there_were_nats():
    nats, bits = (pq.read_table(io.BytesIO(encoded(base=base))) for base in ("e", "2"))
    assert bits.schema.field("log_likelihood").metadata == {b"unit": b"bits", b"tokens": b"num_scored"}
    assert bits.schema.field("token_log_probs").metadata == {b"unit": b"bits"}
    for one, other in zip(nats.to_pylist(), bits.to_pylist(), strict=True):
        assert one["num_tokens"] == other["num_tokens"]
        if one["error"] is None:
            assert math.isclose(one["log_likelihood"] / math.log(2), other["log_likelihood"])
            assert other["token_log_probs"][0] is None
            expected = [value / math.log(2) for value in one["token_log_probs"][1:]]
            # Lists are float32.
            assert all(
                math.isclose(a, b, rel_tol=1e-6)
                for a, b in zip(expected, other["token_log_probs"][1:], strict=True)
            )


def test_what_was_cut_short_is_no_part():
    payload = encoded()
    assert origin_of(payload[:-1]) is None
    assert origin_of(payload[: len(payload) // 2]) is None
    assert origin_of(b"") is None
