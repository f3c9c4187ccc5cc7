import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from jaxlm import scoring

SCORES = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
PAIRS = hnp.arrays(
    np.float64, st.tuples(st.just(2), st.integers(2, 30)), elements=st.integers(-4, 4).map(float)
)


def test_hand_worked_values():
    # Without ties rho = 1 - 6 sum d^2 / (n (n^2 - 1)): differences 1, 1, 0, 1, 1 over 5 * 24.
    assert scoring.spearman(SCORES, np.array([20.0, 10.0, 30.0, 50.0, 40.0])) == pytest.approx(0.8, abs=1e-12)
    # Ranks 1.5 1.5 3 4 against 1 2 3 4: 4.5 / sqrt(4.5 * 5).
    tied = scoring.spearman(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert tied == pytest.approx(4.5 / np.sqrt(22.5), abs=1e-12)


@given(PAIRS)
def test_scipy_agrees(pairs):
    found = scoring.spearman(*pairs)
    if len(set(pairs[0])) == 1 or len(set(pairs[1])) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(*pairs).statistic, abs=1e-12)


@given(PAIRS)
def test_only_order_counts(pairs):
    one, other = pairs
    found = scoring.spearman(one, other)
    np.testing.assert_allclose(scoring.spearman(np.exp(one), other**3), found, atol=1e-12)
    np.testing.assert_allclose(scoring.spearman(-one, other), -found, atol=1e-12)
    np.testing.assert_allclose(scoring.spearman(other, one), found, atol=1e-12)


def correlated(rng, number):
    """Values with rho of about 0.69 (Pearson's 0.71 in a normal distribution)."""
    values = rng.normal(size=number)
    return values + rng.normal(size=number), values


def test_the_interval_covers_as_often_as_it_says():
    truth = 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2)
    hits = 0
    for seed in range(60):
        interval = scoring.bootstrap_interval(
            *correlated(np.random.default_rng(seed), 60), samples=200, confidence=0.9, seed=seed
        )
        hits += interval.low <= truth <= interval.high
        assert interval.low <= interval.estimate <= interval.high
    # 54 of 60 less four standard deviations (2.3), and less what percentiles of so few pairs lack.
    assert hits >= 43


def test_the_same_seed_draws_the_same():
    pairs = correlated(np.random.default_rng(0), 40)
    first = scoring.bootstrap_interval(*pairs, samples=50, seed=3)
    assert first == scoring.bootstrap_interval(*pairs, samples=50, seed=3)
    assert first != scoring.bootstrap_interval(*pairs, samples=50, seed=4)


def test_relatives_widen_the_interval():
    rng = np.random.default_rng(1)
    scores, values = correlated(rng, 30)
    # Ten copies of each pair are no more to go by than one.
    copies = [np.repeat(one, 10) for one in (scores, values)]
    groups = np.repeat(np.arange(30), 10)
    alone = scoring.bootstrap_interval(scores, values, samples=300)
    grouped = scoring.bootstrap_interval(*copies, groups=groups, samples=300)
    naive = scoring.bootstrap_interval(*copies, samples=300)
    assert grouped.high - grouped.low > 2 * (naive.high - naive.low)
    assert (grouped.high - grouped.low) == pytest.approx(alone.high - alone.low, rel=0.2)


def test_whole_groups_are_drawn():
    seen = []

    def statistic(scores, values):
        seen.append(scores)
        return 0.0

    scoring.bootstrap_interval(
        SCORES, SCORES, groups=np.array(list("ababb")), statistic=statistic, samples=20
    )
    for drawn in seen[:-1]:
        counts = [int((drawn == score).sum()) for score in SCORES]
        assert counts[0] == counts[2] and counts[1] == counts[3] == counts[4] and counts[0] + counts[1] == 2


def test_a_constant_has_no_rank_and_no_interval():
    interval = scoring.bootstrap_interval(np.ones(5), SCORES, samples=20)
    assert np.isnan(interval.estimate) and np.isnan(interval.low) and interval.samples == 0
    # Some resamples of two distinct pairs are constant: they are left out, and counted.
    few = scoring.bootstrap_interval(SCORES[:2], SCORES[:2], samples=200)
    assert few.low == few.high == 1.0 and 50 < few.samples < 150


@pytest.mark.parametrize(
    ("scores", "values", "options", "message"),
    [
        (SCORES, SCORES[:4], {}, r"the same length, 2 or more: got shapes \(5,\) and \(4,\)"),
        (SCORES[:1], SCORES[:1], {}, "2 or more"),
        (np.array([1.0, np.nan]), SCORES[:2], {}, "expected finite numbers"),
        (SCORES, SCORES, {"samples": 0}, "samples >= 1"),
        (SCORES, SCORES, {"confidence": 1.0}, "confidence between 0 and 1"),
        (SCORES, SCORES, {"groups": np.arange(4)}, r"a group for each of 5 pairs, got shape \(4,\)"),
    ],
)
def test_what_cannot_be_ranked_is_said(scores, values, options, message):
    with pytest.raises(ValueError, match=message):
        scoring.bootstrap_interval(scores, values, **options)
