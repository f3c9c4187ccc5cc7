import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import data
from jaxlm.data._splits import fill_splits, group_hash


def record(text, **meta):
    return data.Record(text, text, meta)


LINES = [record(f"line {number}") for number in range(20_000)]


def test_shares_are_met_and_nothing_depends_on_order():
    splits = data.plan_splits(LINES, 0.05, 0.1)
    counts = {name: sum(splits.of(one) == name for one in LINES) for name in ("train", "validation", "test")}
    # Four standard deviations of a binomial count of 20,000.
    assert abs(counts["validation"] - 1000) < 4 * 31 and abs(counts["test"] - 2000) < 4 * 43
    backwards = data.plan_splits(LINES[::-1], 0.05, 0.1)
    assert all(splits.of(one) == backwards.of(one) for one in LINES)


def test_a_group_stays_together_and_equal_texts_do():
    splits = data.plan_splits(LINES, 0.3, 0.3)
    for module in "abcdefgh":
        members = [record(f"{module} {number}", group=module) for number in range(50)]
        assert len({splits.of(one) for one in members}) == 1
    assert group_hash(data.Record("x", "same", {})) == group_hash(data.Record("y", "same", {}))


def test_a_large_corpus_is_read_only_until_no_split_is_empty():
    read = []
    data.plan_splits((read.append(one) or one for one in LINES), 0.05, 0.05)
    assert len(read) < 500


@given(st.integers(3, 60), st.floats(0.001, 0.49), st.floats(0.001, 0.49))
def test_no_split_is_empty_from_three_records_on(count, validation_share, test_share):
    records = LINES[:count]
    splits = data.plan_splits(iter(records), validation_share, test_share)
    assert {splits.of(one) for one in records} == {"train", "validation", "test"}
    shuffled = data.plan_splits(iter(records[::-1]), validation_share, test_share)
    if splits.assigned:
        assert splits == shuffled


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "the corpus is empty"),
        ([record("a")], "1 distinct record, but train, validation and test need one each"),
        ([record("a"), record("b"), record("a")], "2 distinct records, but"),
    ],
)
def test_a_corpus_too_small_says_so(records, message):
    with pytest.raises(data.CorpusError, match=message):
        data.plan_splits(records, 0.05, 0.05)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=40), st.floats(0.001, 0.49), st.floats(0.001, 0.49))
def test_groups_of_known_sizes_fill_every_split_and_burst_none(sizes, validation_share, test_share):
    groups = {number / 64: size for number, size in enumerate(sizes)}
    splits = fill_splits(groups, validation_share, test_share)
    assert splits.assigned.keys() == groups.keys()
    held = {
        split: [groups[place] for place in groups if splits.assigned[place] == split]
        for split in ("train", "validation", "test")
    }
    assert all(held.values())
    for split, share in (("validation", validation_share), ("test", test_share)):
        assert sum(held[split]) <= max(1, round(share * sum(sizes))) or len(held[split]) == 1


def test_shares_are_met_in_records_where_groups_are_small():
    groups = {number / 4096: 1 + number % 7 for number in range(2000)}
    assigned = fill_splits(groups, 0.1, 0.2).assigned
    total = sum(groups.values())
    for split, share in (("validation", 0.1), ("test", 0.2)):
        assert abs(sum(groups[place] for place in groups if assigned[place] == split) - share * total) < 1


def test_two_groups_are_too_few():
    with pytest.raises(data.CorpusError, match="has 2 groups"):
        fill_splits({0.1: 5, 0.2: 5}, 0.1, 0.1)
