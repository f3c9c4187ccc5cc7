"""Which tokens are compared: one to one, from the last common one, by pairs."""

import difflib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import steps

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=8)


def align(alignment, tokens, contrast):
    return steps.align(alignment, np.array(tokens), np.array(contrast)).tolist()


def test_one_to_one():
    assert align("one_to_one", [5, 6, 7], [5, 8, 9]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("tokens", "contrast", "expected"),
    [
        # A context before the same words.
        ([5, 6], [1, 2, 5, 6], [2, 3]),
        ([1, 2, 5, 6], [5, 6], [-1, -1, 0, 1]),
        # Other words behind the same ones.
        ([1, 2, 3], [1, 2, 4, 5], [0, 1, 2]),
        ([1, 2, 4, 5], [1, 2, 3], [0, 1, 2, -1]),
        # The same words before and behind others.
        ([1, 2, 5, 6], [1, 2, 3, 4, 5, 6], [0, 1, 4, 5]),
        ([1, 2, 3, 4, 5, 6], [1, 2, 5, 6], [0, 1, -1, -1, 2, 3]),
        ([1, 7, 8, 6], [1, 9, 6], [0, -1, 1, 2]),
        ([1, 1], [1, 1, 1], [1, 2]),
        # Nothing in common.
        ([1, 2], [3, 4, 5], [0, 1]),
    ],
)
def test_from_the_last_common_token(tokens, contrast, expected):
    assert align("last_common", tokens, contrast) == expected


@given(IDS, IDS, IDS)
def test_what_follows_any_two_contexts_is_compared_with_itself(first, second, common):
    partners = align("last_common", [*first, *common], [*second, *common])
    ours = range(len(first), len(first) + len(common))
    assert [partners[index] - len(second) for index in ours] == [index - len(first) for index in ours]


@given(IDS, IDS, IDS)
def test_what_comes_before_any_two_endings_is_compared_with_itself(common, first, second):
    # Endings that do not end alike.
    partners = align("last_common", [*common, *first, 8], [*common, *second, 9])
    assert partners[: len(common)] == list(range(len(common)))


@given(IDS, IDS, IDS, IDS)
def test_what_two_texts_begin_with_is_compared_with_itself_and_no_token_twice(common, first, second, ending):
    """Also where they end alike; the middles begin and end with tokens of their own."""
    tokens, contrast = [*common, 8, *first, 8, *ending], [*common, 9, *second, 9, *ending]
    partners = align("last_common", tokens, contrast)
    assert partners[: len(common)] == list(range(len(common)))
    assert partners[-len(ending) :] == list(range(len(contrast) - len(ending), len(contrast)))
    compared = [partner for partner in partners if partner >= 0]
    assert compared == sorted(set(compared))


def test_pairs_compare_what_they_name():
    assert align([(2, 0), (0, 1)], [5, 6, 7], [8, 9]) == [1, -1, 0]
    blocks = difflib.SequenceMatcher(None, "abcd", "xbcd").get_matching_blocks()
    pairs = [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    assert align(pairs, [0, 1, 2, 3], [9, 1, 2, 3]) == [-1, 1, 2, 3]


@pytest.mark.parametrize(
    ("alignment", "message"),
    [
        ("one_to_one", r"as many tokens, 2, or an alignment.*got 3; \[5, 6\] against \[5, 6, 7\]"),
        ("auto", "alignment is one of one_to_one, last_common, or pairs: got 'auto'"),
        ([(2, 0)], r"pairs tokens 0..1 with 0..2: got \(2, 0\)"),
        ([(0, 3)], r"pairs tokens 0..1 with 0..2: got \(0, 3\)"),
        ([(0, 0), (0, 1)], "pairs a predicted token once: got 0 twice"),
        ([(0,)], r"pairs of indices \(i, j\): got \(0,\)"),
        ([(0.5, 1)], r"pairs of indices \(i, j\): got \(0.5, 1\)"),
        ({0: 0}, "alignment is one of one_to_one, last_common, or pairs: got {0: 0}"),
        (3, "alignment is one of one_to_one, last_common, or pairs: got 3"),
        ([3], r"pairs of indices \(i, j\): got 3"),
    ],
)
def test_what_is_refused(alignment, message):
    with pytest.raises(ValueError, match=message):
        align(alignment, [5, 6], [5, 6, 7])


def test_long_lists_are_cut_in_a_message():
    with pytest.raises(ValueError, match="and 80 more"):
        align("one_to_one", [1] * 100, [2] * 3)
