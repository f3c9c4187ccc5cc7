"""Scores on other scales, differences and parts, on attributions with known numbers."""

import numpy as np
import pytest

from jaxlm.attribution import difference, normalize_scores, over_width, rescale_scores, select
from jaxlm.errors import UsageError
from tests.attribution.results.examples import TOKENS, causal, translation


def test_magnitudes_add_up_to_one_over_both_sides_together():
    result = normalize_scores(translation())
    sums = np.nansum(np.abs(result.scores), 0) + np.abs(result.source_scores).sum(0)
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    # 0.5 of 0.5 + 0.25 + 0.25 + 1; signs and what is not seen are kept.
    assert result.scores[0, 0] == 0.25 and result.source_scores[1, 0] == -0.125
    np.testing.assert_array_equal(np.isnan(result.scores), np.isnan(translation().scores))


def test_a_prediction_that_nothing_moved_stays_so():
    zero = translation(scores=np.zeros((3, 2), np.float32), source_scores=np.zeros((3, 2), np.float32))
    for function in (normalize_scores, rescale_scores):
        assert not function(zero).scores.any() and not function(zero).source_scores.any()


def test_the_largest_magnitude_of_both_sides_becomes_one():
    result = rescale_scores(translation(source_scores=np.full((3, 2), -2.0, np.float32)))
    assert result.scores[0, 0] == 0.25 and (result.source_scores == -1).all()
    assert result.completeness_error is None


@pytest.mark.parametrize("function", [normalize_scores, rescale_scores])
def test_granular_scores_are_refused(function):
    granular = causal(scores=np.zeros((6, 3, 4), np.float32))
    with pytest.raises(UsageError, match="over_width"):
        function(granular)
    assert function(over_width(granular)).scores.shape == (6, 3)


def test_a_difference_is_that_of_all_numbers():
    first = causal()
    second = causal(
        tokens=("She", *TOKENS[1:]),
        token_ids=first.token_ids + np.eye(6, dtype=np.int32)[0],
        scores=first.scores / 2,
    )
    both = first - second
    np.testing.assert_array_equal(both.scores, first.scores / 2)
    assert both.tokens == ("The → She", *TOKENS[1:])
    assert both.token_ids.tolist() == [-1, 11, 12, 13, 14, 15]
    assert not both.values.any() and not both.step_scores["entropy"].any()
    assert type(both) is type(first) and both.completeness_error is None
    assert (difference(first, first).scores[0] == 0).all()


def test_a_difference_of_unequal_shapes_is_refused():
    with pytest.raises(UsageError, match=r"one shape: got tokens of \(6,\) and \(5,\)"):
        difference(causal(), select(causal(), inputs=slice(1, None)))


def test_a_part_keeps_what_belongs_to_it():
    part = select(causal(), inputs=slice(1, 5), predictions=slice(1, None))
    assert part.tokens == TOKENS[1:5] and part.target_tokens == ("eeps", ".")
    np.testing.assert_array_equal(part.scores, causal().scores[1:5, 1:])
    # "eeps" is the fourth of the tokens that are kept, and "." is not among them.
    assert part.positions.tolist() == [3, -1]
    assert part.step_scores["entropy"].tolist() == [2, 3] and part.values.tolist() == [0.25, 0.125]
    assert part.completeness_error is None
    assert select(causal(), predictions=slice(0, 1)).completeness_error.tolist() == [np.float32(1e-4)]


def test_a_part_of_the_source():
    part = select(translation(), sources=slice(0, 2))
    assert part.source_tokens == ("▁the", "▁do") and part.source_scores.shape == (2, 2)
    with pytest.raises(UsageError, match="without a step"):
        select(translation(), sources=slice(None, None, 2))


def test_scores_may_be_weighted_by_a_step_function():
    result = causal()
    weighted = result._replace(scores=result.scores * result.step_scores["entropy"])
    np.testing.assert_array_equal(weighted.scores[0], result.scores[0] * np.array([1, 2, 3], np.float32))
