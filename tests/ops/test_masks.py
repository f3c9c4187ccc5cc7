import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops


def slow_mask(segments, causal, window):
    rows, length = segments.shape
    mask = np.zeros((rows, 1, length, length), bool)
    for row in range(rows):
        for query in range(length):
            for key in range(length):
                same = segments[row, query] == segments[row, key] != 0
                seen = not causal or key <= query
                near = window is None or abs(query - key) < window
                mask[row, 0, query, key] = same and seen and near
    return mask


@given(
    pieces=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=4),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_equals_the_definition(pieces, causal, window):
    segments = np.zeros((1, 12), np.int32)  # one length, compiled once
    filled = np.repeat([piece for piece, _ in pieces], [count for _, count in pieces])
    segments[0, : len(filled)] = filled
    got = ops.attention_mask(jnp.asarray(segments), causal=causal, window=window)
    np.testing.assert_array_equal(got, slow_mask(segments, causal, window))


def test_causal_window_reaches_window_positions():
    mask = ops.attention_mask(jnp.ones((1, 6), jnp.int32), causal=True, window=3)
    np.testing.assert_array_equal(mask[0, 0].sum(-1), [1, 2, 3, 3, 3, 3])


def test_padding_attends_to_nothing_and_is_not_attended_to():
    mask = np.asarray(ops.attention_mask(jnp.array([[0, 1, 1, 0, 2]])))[0, 0]
    assert not mask[[0, 3]].any() and not mask[:, [0, 3]].any()


def test_jit_changes_nothing():
    segments = jnp.array([[1, 1, 2, 2, 0]])
    jitted = jax.jit(ops.attention_mask, static_argnames=("causal", "window"))
    np.testing.assert_array_equal(
        jitted(segments, causal=True, window=2), ops.attention_mask(segments, causal=True, window=2)
    )


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_that_reaches_nothing_is_refused(window):
    with pytest.raises(ValueError, match=f"got window={window}"):
        ops.attention_mask(jnp.ones((1, 2), jnp.int32), window=window)
