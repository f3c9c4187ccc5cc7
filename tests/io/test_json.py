"""Whatever JSON is wrong with is a ValueError of one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import io

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_values_are_those_of_python(value):
    assert io.parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("depth", [201, 900, 5_000, 200_000])
@pytest.mark.parametrize("is_ended", [True, False])
def test_depth_is_bounded(opening, closing, depth, is_ended):
    with pytest.raises(ValueError) as caught:
        io.parse_json(opening * depth + "1" + closing * depth * is_ended)
    assert "\n" not in str(caught.value)


def test_a_depth_that_files_have_is_fine():
    assert io.parse_json("[" * 200 + "]" * 200)


@pytest.mark.parametrize("text", ["9" * 5000, "[-" + "9" * 5000 + "]", '{"step": 1' + "0" * 5000 + "}"])
def test_numbers_of_thousands_of_digits_are_refused(text):
    with pytest.raises(ValueError, match="thousands of digits"):
        io.parse_json(text)


def test_pairs_can_be_looked_at():
    assert io.parse_json('{"a": 1, "a": 2}', pairs_hook=list) == [("a", 1), ("a", 2)]
