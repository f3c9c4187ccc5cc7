"""Pooling by segment against a loop over the segments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops

NUM_SEGMENTS = 4
POOLED = {
    "mean": lambda hidden, scores, segments: ops.pool_mean(hidden, segments, NUM_SEGMENTS),
    "softmax": lambda hidden, scores, segments: ops.pool_softmax(hidden, scores, segments, NUM_SEGMENTS),
    "first": lambda hidden, scores, segments: ops.pool_first(hidden, segments, NUM_SEGMENTS),
}
COMPILED = {name: jax.jit(pool) for name, pool in POOLED.items()}


def one_by_one(kind, hidden, scores, segments):
    pooled = np.zeros((len(segments), NUM_SEGMENTS, hidden.shape[-1]))
    for row in range(len(segments)):
        for segment in range(1, NUM_SEGMENTS + 1):
            at = segments[row] == segment
            if not at.any():
                continue
            weights = np.exp(scores[row, at] - scores[row, at].max())
            pooled[row, segment - 1] = {
                "mean": hidden[row, at].mean(0),
                "softmax": (weights[:, None] * hidden[row, at]).sum(0) / weights.sum(),
                "first": hidden[row, at][0],
            }[kind]
    return pooled


def drawn(lengths, seed):
    """Rows of contiguous segments; more of them than are asked for, and padding at the end."""
    segments = np.zeros((len(lengths), 16), np.int32)
    for row, sizes in enumerate(lengths):
        names = np.repeat(np.arange(1, len(sizes) + 1), sizes)[:16]
        segments[row, : len(names)] = names
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(*segments.shape, 3)).astype(np.float32),
        rng.normal(scale=20, size=segments.shape).astype(np.float32),
        segments,
    )


@pytest.mark.parametrize("kind", POOLED)
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 5), max_size=6), min_size=2, max_size=2),
    seed=st.integers(0, 2**16),
)
def test_pooling_is_that_of_each_segment_alone(kind, lengths, seed):
    hidden, scores, segments = drawn(lengths, seed)
    expected = one_by_one(kind, hidden, scores, segments)
    # Sums of at most 16 float32 terms of the order of 1.
    np.testing.assert_allclose(COMPILED[kind](hidden, scores, segments), expected, atol=1e-5)


@pytest.mark.parametrize("kind", POOLED)
def test_padding_and_absent_segments_leave_no_nan_in_gradients(kind):
    segments = jnp.array([[1, 1, 2, 0], [0, 0, 0, 0]])
    hidden = jnp.ones((2, 4, 3)).at[0, 3].set(jnp.nan)
    scores = jnp.array([[1e4, -1e4, 0.0, jnp.nan], [0.0, 0.0, 0.0, 0.0]])

    def total(hidden, scores):
        return POOLED[kind](hidden, scores, segments).sum()

    value, gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(hidden, scores)
    assert float(value) == 2 * 3
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert not np.asarray(gradient)[np.asarray(segments) == 0].any()


def test_bfloat16_features_are_pooled_in_float32():
    hidden = jnp.full((1, 300, 1), 1.0, jnp.bfloat16).at[0, 0].set(2.0)
    pooled = ops.pool_mean(hidden, jnp.ones((1, 300), jnp.int32), 1)
    assert pooled.dtype == jnp.float32
    np.testing.assert_allclose(pooled, 301 / 300, rtol=1e-6)  # bfloat16 sums stop at 256


def test_starts_of_segments():
    starts = ops.segment_starts(jnp.array([[1, 2, 2, 3], [1, 1, 0, 0]]), num_segments=2)
    assert starts.positions.tolist() == [[0, 1], [0, 0]]
    assert starts.present.tolist() == [[True, True], [True, False]]
