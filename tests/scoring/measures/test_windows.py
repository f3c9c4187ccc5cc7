"""Rolling windows: the published tables, and every token predicted exactly once with what it may see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import scoring

STREAM = "B0123456789"


def table(length, context, *, opened=False):
    return [
        (
            (STREAM[0] if window.opened else "") + STREAM[window.start : window.end],
            STREAM[window.first : window.end + 1],
        )
        for window in scoring.windows(len(STREAM), length, context, opened=opened)
    ]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (1, [("B012", "0123"), ("3456", "4567"), ("5678", "89")]),
        (3, [("B012", "0123"), ("1234", "45"), ("3456", "67"), ("5678", "89")]),
        (4, [("B012", "0123"), *((STREAM[end - 4 : end], STREAM[end]) for end in range(5, 11))]),
    ],
)
def test_the_tables(context, expected):
    assert table(4, context) == expected


def test_windows_that_each_begin_with_the_opening_token():
    # c = 1: nothing but the opening token before a window's first prediction; the last sees a full window.
    assert table(4, 1, opened=True) == [("B012", "0123"), ("B456", "4567"), ("B678", "89")]
    assert table(4, 3, opened=True) == [("B012", "0123"), ("B234", "45"), ("B456", "67"), ("B678", "89")]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_every_token_is_predicted_once_and_follows_its_context(num, length, context, opened):
    context = min(context, length)
    found = list(scoring.windows(num, length, context, opened=opened))
    predicted = [place for window in found for place in range(window.first, window.end + 1)]
    assert predicted == list(range(1, num))
    for number, window in enumerate(found):
        read = window.end - window.start + window.opened
        assert 1 <= read <= length
        before = read - (window.end - window.first)
        assert before >= (1 if number == 0 else min(context, window.first))
        assert window.opened == (opened and number > 0) and (not window.opened or window.start > 0)
        if number and number < len(found) - 1:
            assert window.end - window.first + 1 == length - context + 1


@pytest.mark.parametrize("context", [0, 5])
def test_a_context_that_leaves_nothing_to_predict_is_refused(context):
    with pytest.raises(ValueError, match="context of 1 to 4"):
        list(scoring.windows(9, 4, context))
