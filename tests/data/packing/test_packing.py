"""Against best fit decreasing done one piece at a time, and the algebra that any packing must have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxlm import data

LENGTHS = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 40))


def slow_best_fit(lengths, row_length):
    """What best fit decreasing leaves free in its rows, by its definition, sorted."""
    free = []
    for length in sorted(lengths, reverse=True):
        fitting = [space for space in free if space >= length]
        if fitting:
            free.remove(min(fitting))
        free.append((min(fitting) if fitting else row_length) - length)
    return sorted(free)


@given(LENGTHS, st.integers(1, 24), st.sampled_from(["split", "truncate"]))
def test_every_token_that_is_kept_has_one_place(lengths, row_length, long):
    plan = data.plan_packing(lengths, row_length, long=long)
    seen = np.zeros((plan.num_rows, row_length), int)
    kept = [set() for _ in lengths]
    for row, example, start, length, column in zip(
        plan.row, plan.example, plan.start, plan.length, plan.column, strict=True
    ):
        assert length > 0 and column + length <= row_length
        seen[row, column : column + length] += 1
        offsets = set(range(start, start + length))
        assert not offsets & kept[example]
        kept[example] |= offsets
    assert seen.max(initial=0) <= 1
    # Pieces stand one after the other from the left; padding is at the right only.
    assert (np.diff(seen, axis=1) <= 0).all() and (seen.sum(1) > 0).all()
    wanted = lengths if long == "split" else np.minimum(lengths, row_length)
    assert [sorted(offsets) for offsets in kept] == [list(range(length)) for length in wanted]


@given(LENGTHS, st.integers(1, 24))
def test_it_is_best_fit_decreasing(lengths, row_length):
    pieces = [row_length] * int(sum(lengths // row_length)) + [length % row_length for length in lengths]
    plan = data.plan_packing(lengths, row_length)
    filled = np.bincount(plan.row, weights=plan.length, minlength=plan.num_rows)
    expected = slow_best_fit([length for length in pieces if length], row_length)
    assert sorted((row_length - filled).astype(int).tolist()) == expected


@given(LENGTHS, st.integers(1, 24))
def test_what_was_done_to_long_records_is_counted(lengths, row_length):
    longer = int((lengths > row_length).sum())
    over = int(np.maximum(lengths - row_length, 0).sum())
    split = data.plan_packing(lengths, row_length, long="split")
    truncated = data.plan_packing(lengths, row_length, long="truncate")
    assert split[-3:] == (longer, 0, 0) and split.num_tokens == lengths.sum()
    assert truncated[-3:] == (0, longer, over) and truncated.num_tokens == lengths.sum() - over


@pytest.mark.parametrize("row_length", [2, 5, 64])
def test_with_an_overlap_of_one_every_token_but_the_first_follows_another_once(row_length):
    lengths = np.array([0, 1, 2, row_length, row_length + 1, 2 * row_length - 1, 2 * row_length, 999])
    plan = data.plan_packing(lengths, row_length, overlap=1)
    assert plan.length.max() <= row_length
    for example, length in enumerate(lengths.tolist()):
        pieces = [
            range(start + 1, start + size)
            for start, size in zip(
                plan.start[plan.example == example], plan.length[plan.example == example], strict=True
            )
        ]
        followed = sorted(offset for piece in pieces for offset in piece)
        assert followed == list(range(1, length))
        assert len(pieces) == (length > 0) or length > row_length


def test_an_overlap_as_long_as_a_row_is_refused():
    with pytest.raises(ValueError, match="overlap: expected 0 to row_length - 1 = 4, got 5"):
        data.plan_packing(np.array([9]), 5, overlap=5)


def test_the_plan_is_a_function_of_the_lengths():
    lengths = np.random.default_rng(0).integers(1, 700, 3000)
    one, other = data.plan_packing(lengths, 256), data.plan_packing(lengths.astype(np.int32), 256)
    assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def test_real_lengths_leave_hardly_any_padding(library):
    lengths = np.asarray([record.text.count(" ") + 1 for record in library])
    for row_length in (128, 512, 1024):
        assert data.plan_packing(lengths, row_length).padding_share < 0.005
        assert data.plan_packing(lengths, row_length, long="truncate").padding_share < 0.005


def test_notes_say_what_was_done():
    lengths = np.array([3, 12, 9, 4])
    assert data.plan_packing(lengths, 10).notes == [
        "3 rows of 10, 6.67 % padding",
        "1 records longer than 10 tokens were split",
    ]
    assert data.plan_packing(lengths, 10, long="truncate").notes == [
        "3 rows of 10, 13.33 % padding",
        "1 records longer than 10 tokens were truncated (2 tokens not used)",
    ]


def test_no_examples_no_rows():
    plan = data.plan_packing(np.zeros(0, np.int64), 8)
    assert (plan.num_rows, plan.num_tokens, plan.padding_share, plan.max_segments) == (0, 0, 0.0, 0)


@pytest.mark.parametrize(
    ("lengths", "row_length", "long"), [([1], 0, "split"), ([-1], 8, "split"), ([1], 8, "drop")]
)
def test_bad_requests(lengths, row_length, long):
    with pytest.raises((ValueError, TypeError), match=r"expected row_length >= 1|Type-check"):
        data.plan_packing(np.array(lengths), row_length, long=long)
