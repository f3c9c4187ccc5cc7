"""Sizes that many calls share."""

from hypothesis import given
from hypothesis import strategies as st

from jaxlm import ops


def test_buckets_are_powers_of_two_from_the_smallest():
    assert [ops.bucket(size) for size in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]
    assert ops.bucket(3, 16) == 16


@given(st.integers(1, 1 << 20))
def test_no_bucket_is_smaller_than_what_it_holds_and_fine_ones_waste_a_quarter_at_most(size):
    assert size <= ops.fine_bucket(size) <= max(16, 1.25 * size + 1)
    assert size <= ops.bucket(size) < 2 * size
    assert size <= ops.coarse_bucket(size)
