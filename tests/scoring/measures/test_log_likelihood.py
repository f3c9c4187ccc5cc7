"""Reductions of log-probabilities, on hand-worked values and against loops."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops, scoring

# Logits [[0,1,2],[3,4,0],[1,2,3],[4,0,1]] and tokens [0,1,2,0], shifted.
HAND = jnp.array([[0.0, -1.407606, -4.326563, -2.407606]])
COUNTED = ops.predicted_mask(jnp.ones((1, 4), jnp.int32))


def test_a_text_by_sum_mean_and_bits():
    total = -1.407606 - 4.326563 - 2.407606
    expected = {"sum": total, "mean": total / 3, "bits": total / math.log(2)}
    for reduce, value in expected.items():
        ours = scoring.log_likelihood(HAND, COUNTED, reduce=reduce)
        assert ours.shape == (1,)
        np.testing.assert_allclose(ours, [value], rtol=1e-6)


def test_a_span_is_what_a_mask_leaves():
    span = COUNTED & scoring.span_mask(jnp.array([2]), jnp.array([4]), 4)
    np.testing.assert_allclose(scoring.log_likelihood(HAND, span), [-4.326563 - 2.407606], rtol=1e-6)
    np.testing.assert_allclose(
        scoring.log_likelihood(HAND, span, reduce="mean"), [(-4.326563 - 2.407606) / 2], rtol=1e-6
    )


def test_the_first_token_would_thin_a_mean_and_changes_no_sum():
    everything = jnp.ones((1, 4), bool)
    same = [scoring.log_likelihood(HAND, counted).item() for counted in (everything, COUNTED)]
    assert same[0] == same[1]
    mean = scoring.log_likelihood(HAND, COUNTED, reduce="mean").item()
    np.testing.assert_allclose(
        scoring.log_likelihood(HAND, everything, reduce="mean"), mean * 3 / 4, rtol=1e-6
    )


@pytest.mark.parametrize("reduce", ["sum", "mean", "bits"])
def test_segments_of_packed_rows_are_reduced_each_alone(reduce):
    draw = np.random.default_rng(0)
    segments = np.array([[1, 1, 1, 2, 2, 3, 0, 0], [1, 2, 2, 2, 2, 0, 0, 0]], np.int32)
    log_probs = -draw.random(segments.shape).astype(np.float32)
    counted = draw.random(segments.shape) < 0.7
    reduced = jax.jit(scoring.segment_log_likelihood, static_argnames=("reduce", "num_segments"))(
        jnp.asarray(log_probs), jnp.asarray(counted), jnp.asarray(segments), num_segments=4, reduce=reduce
    )
    for row in range(2):
        for segment in range(1, 5):
            values = log_probs[row][(segments[row] == segment) & counted[row]].astype(np.float64)
            expected = {
                "sum": values.sum(),
                "mean": values.mean() if values.size else 0.0,
                "bits": values.sum() / np.log(2),
            }[reduce]
            np.testing.assert_allclose(reduced[row, segment - 1], expected, rtol=1e-5)


def test_nothing_counted_is_zero_and_never_nan():
    wild = jnp.full((2, 3), jnp.nan)
    for reduce in ("sum", "mean", "bits"):
        reduced = scoring.log_likelihood(wild, jnp.zeros((2, 3), bool), reduce=reduce)
        assert reduced.tolist() == [0.0, 0.0]


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="sum, mean, bits: got 'max'"):
        scoring.log_likelihood(HAND, COUNTED, reduce="max")


def test_empty_and_overlong_spans():
    mask = scoring.span_mask(jnp.array([3, 1, 0]), jnp.array([2, 9, 0]), 3)
    assert mask.tolist() == [[False] * 3, [False, True, True], [False] * 3]
