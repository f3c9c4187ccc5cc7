"""Segment reductions against loops."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops

ROWS, LENGTH, MOST = 3, 8, 4


@st.composite
def packed_rows(draw):
    """Rows of ascending runs, numbered from 1, with padding at the end."""
    rows = []
    for _ in range(ROWS):
        lengths = draw(st.lists(st.integers(1, 4), min_size=0, max_size=MOST))
        row = [number for number, length in enumerate(lengths, start=1) for _ in range(length)]
        rows.append((row + [0] * LENGTH)[:LENGTH])
    return np.array(rows, np.int32)


masks = st.lists(st.booleans(), min_size=ROWS * LENGTH, max_size=ROWS * LENGTH).map(
    lambda flat: np.array(flat).reshape(ROWS, LENGTH)
)


@given(packed_rows(), masks)
@settings(max_examples=30, deadline=None)
def test_sums_counts_and_ranks_equal_loops(segments, mask):
    values = np.arange(ROWS * LENGTH, dtype=np.float32).reshape(ROWS, LENGTH)
    sums, counts, ranks = np.zeros((ROWS, MOST)), np.zeros((ROWS, MOST), int), np.full((ROWS, LENGTH), -1)
    for row in range(ROWS):
        seen = dict.fromkeys(range(MOST + 1), 0)
        for column, segment in enumerate(segments[row]):
            if segment:
                sums[row, segment - 1] += values[row, column]
                counts[row, segment - 1] += mask[row, column]
            if mask[row, column]:
                ranks[row, column] = seen[segment]
                seen[segment] += 1
    segments, mask = jnp.asarray(segments), jnp.asarray(mask)
    np.testing.assert_array_equal(ops.segment_sums(jnp.asarray(values), segments, MOST), sums)
    np.testing.assert_array_equal(ops.segment_counts(mask, segments, MOST), counts)
    np.testing.assert_array_equal(ops.segment_ranks(mask, segments), ranks)


def test_ids_outside_the_table_do_not_count_and_do_not_reach_other_rows():
    segments = jnp.array([[1, 3, 4, 5], [1, -1, 2, 9]])  # rows of three slots: 4 is the next row's 1
    sums = ops.segment_sums(jnp.ones((2, 4)), segments, num_segments=2)
    assert sums.tolist() == [[1, 0], [1, 1]]


def test_padding_does_not_poison_a_sum():
    sums = ops.segment_sums(jnp.array([[1.0, jnp.nan]]), jnp.array([[1, 0]]), num_segments=1)
    assert sums.tolist() == [[1.0]]


def test_a_row_may_be_empty():
    empty = jnp.zeros((2, 0), jnp.int32)
    assert ops.segment_counts(empty > 0, empty, num_segments=2).tolist() == [[0, 0], [0, 0]]
