"""One score of several: against NumPy's own functions, and by hand where something is missing."""

import numpy as np
import pytest

from jaxlm.attribution import aggregate, over_width
from jaxlm.errors import UsageError
from tests.attribution.results.examples import causal

NUMPY = {
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "sum": np.sum,
    "prod": np.prod,
    "vnorm": lambda scores, axis: np.linalg.norm(scores, axis=axis),
    "absmax": lambda scores, axis: np.where(
        scores.max(axis) >= -scores.min(axis), scores.max(axis), scores.min(axis)
    ),
}


@pytest.mark.parametrize("function", NUMPY)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_whole_scores_are_aggregated_as_by_numpy(function, axis):
    scores = np.random.default_rng(0).normal(size=(3, 4, 5))
    np.testing.assert_allclose(aggregate(scores, function, axis), NUMPY[function](scores, axis), rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "expected"),
    [("mean", -1), ("max", 1), ("min", -3), ("sum", -2), ("prod", -3), ("absmax", -3), ("vnorm", 10**0.5)],
)
def test_what_is_not_seen_is_left_out(function, expected):
    scores = np.array([[1.0, np.nan], [np.nan, np.nan], [-3.0, np.nan]], np.float32)
    made = aggregate(scores, function, 0)
    assert made.dtype == np.float32 and np.isnan(made[1])
    assert made[0] == np.float32(expected)


def test_an_unknown_function_is_named():
    with pytest.raises(UsageError, match="one of mean, max, min, sum, prod, absmax, vnorm: got 'median'"):
        aggregate(np.ones(3), "median", 0)


def test_the_width_of_granular_scores_becomes_one_number():
    plain = causal()
    scores = np.stack([0.6 * plain.scores, -0.8 * plain.scores], -1)
    granular = plain._replace(scores=scores)
    normed = over_width(granular)
    np.testing.assert_allclose(normed.scores, np.abs(plain.scores), rtol=1e-6)
    assert not normed.is_signed and normed.completeness_error is None
    summed = over_width(granular, "sum")
    np.testing.assert_allclose(summed.scores, -0.2 * plain.scores, rtol=1e-6)
    assert summed.is_signed and summed.completeness_error is not None
    assert summed.settings["aggregation"] == ["width by sum"] and "aggregation" not in plain.settings
    assert over_width(plain) is plain
