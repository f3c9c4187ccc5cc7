"""Sums of metrics against loops over the predictions; what is empty, what adds up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops, training

M, V = 200, 12


@pytest.fixture(scope="module")
def predictions():
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(M, V)).astype(np.float32) * 3
    targets = generator.integers(0, V, M)
    weights = np.where(generator.random(M) < 0.3, 0, 1).astype(np.float32)
    return logits, targets, weights, generator.random(M).astype(np.float32)


@pytest.fixture(scope="module")
def scores(predictions):
    logits, targets, _, _ = predictions
    return ops.token_scores(jnp.asarray(logits), jnp.eye(V), None, jnp.asarray(targets))


def by_hand(logits, targets, weights, top_k=5, bins=15):
    """nll, accuracy, top-k accuracy and calibration error of the rows that count, one row after the other."""
    cells = [[0, 0.0, 0] for _ in range(bins)]
    nats, correct, near = [], [], []
    for row, target, weight in zip(logits.astype(np.float64), targets, weights, strict=True):
        if not weight:
            continue
        probs = np.exp(row) / np.exp(row).sum()
        order = np.argsort(-probs)
        nats.append(-np.log(probs[target]))
        correct.append(order[0] == target)
        near.append(target in order[:top_k])
        cell = cells[min(int(probs.max() * bins), bins - 1)]
        cell[0] += 1
        cell[1] += probs.max()
        cell[2] += order[0] == target
    error = sum(n / len(nats) * abs(c / n - p / n) for n, p, c in cells if n)
    return np.mean(nats), np.mean(correct), np.mean(near), error


def check(summary, expected):
    nll, accuracy, near, error = expected
    # float32 sums over some hundred terms.
    np.testing.assert_allclose(summary.nll, nll, rtol=1e-5)
    np.testing.assert_allclose(summary.perplexity, np.exp(nll), rtol=1e-4)
    np.testing.assert_allclose(summary.accuracy, accuracy, rtol=1e-6)
    np.testing.assert_allclose(summary.top_k_accuracy, near, rtol=1e-6)
    np.testing.assert_allclose(summary.calibration_error, error, rtol=1e-4)


@pytest.mark.parametrize(("top_k", "bins"), [(5, 15), (1, 1), (3, 4)])
def test_it_is_what_counting_by_hand_gives(predictions, scores, top_k, bins):
    logits, targets, weights, _ = predictions
    sums = jax.jit(training.token_metrics, static_argnames=("top_k", "bins"))(
        scores, jnp.asarray(weights), top_k=top_k, bins=bins
    )
    summary = training.summarize_tokens(sums)
    check(summary, by_hand(logits, targets, weights, top_k, bins))
    assert summary.weight == weights.sum() and summary.by_level == ()


def test_an_ensemble_is_judged_by_its_mixture(predictions):
    _, targets, weights, _ = predictions
    logits = np.random.default_rng(2).normal(size=(3, M, V)).astype(np.float32) * 3
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mixture = ops.mixture_log_probs(jnp.asarray(np.log(probs)), "probs")
    sums = training.token_metrics(ops.logit_scores(mixture, jnp.asarray(targets)), jnp.asarray(weights))
    check(training.summarize_tokens(sums), by_hand(np.log(probs.mean(0)), targets, weights))


def test_each_level_is_judged_as_if_it_were_alone(predictions, scores):
    logits, targets, weights, fractions = predictions
    summary = training.summarize_tokens(
        training.token_metrics(scores, jnp.asarray(weights), jnp.asarray(fractions), levels=4)
    )
    assert [(level.low, level.high) for level in summary.by_level] == [(i / 4, (i + 1) / 4) for i in range(4)]
    for number, level in enumerate(summary.by_level):
        inside = np.where((fractions * 4).astype(int) == number, weights, 0)
        check(level, by_hand(logits, targets, inside))
        assert level.weight == inside.sum()
    assert sum(level.weight for level in summary.by_level) == summary.weight


def test_parts_add_up_to_the_whole(predictions, scores):
    _, _, weights, fractions = predictions
    whole = training.token_metrics(scores, jnp.asarray(weights), jnp.asarray(fractions))
    halves = [
        training.token_metrics(
            ops.TokenScores(*(part[rows] for part in scores)),
            jnp.asarray(weights)[rows],
            jnp.asarray(fractions)[rows],
        )
        for rows in (jnp.arange(M // 2), jnp.arange(M // 2, M))
    ]
    for name, value in whole.items():
        np.testing.assert_allclose(halves[0][name] + halves[1][name], value, rtol=1e-5)


def test_perplexity_is_of_the_mean_and_of_the_target_alone():
    """The right value of an example that the mean of 1/p over the vocabulary gets wrong by a factor of 8."""
    logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    scores = ops.token_scores(logits, jnp.eye(3), None, jnp.array([0, 2]))
    summary = training.summarize_tokens(training.token_metrics(scores, jnp.ones(2)))
    np.testing.assert_allclose((summary.nll, summary.perplexity), (0.251264, 1.28565), rtol=1e-5)


def test_full_corruption_and_none_are_in_the_outer_levels(scores):
    fractions = jnp.where(jnp.arange(M) < 5, 0.0, 1.0)
    summary = training.summarize_tokens(training.token_metrics(scores, jnp.ones(M), fractions))
    assert [(level.low, level.high, level.weight) for level in summary.by_level] == [
        (0.0, 0.1, 5),
        (0.9, 1.0, M - 5),
    ]


def test_rows_that_do_not_count_may_hold_anything(predictions, scores):
    _, _, weights, fractions = predictions
    counts, wild = jnp.asarray(weights) > 0, jnp.float32(jnp.nan)
    spoiled = ops.TokenScores(
        *(jnp.where(counts, part, wild if part.dtype == jnp.float32 else -7) for part in scores)
    )
    ours = training.token_metrics(
        spoiled, jnp.asarray(weights), jnp.where(counts, jnp.asarray(fractions), wild)
    )
    clean = training.token_metrics(scores, jnp.asarray(weights), jnp.asarray(fractions))
    for name, value in clean.items():
        np.testing.assert_array_equal(ours[name], value)


def test_nothing_scored_is_no_summary(scores):
    assert training.summarize_tokens({}) is None
    assert training.summarize_tokens(training.token_metrics(scores, jnp.zeros(M))) is None


def test_a_hopeless_model_has_an_infinite_perplexity():
    sums = {"loss_sum": 1e6, "weight": 1, "correct": 0, "top_k_correct": 0, "calibration": np.zeros((15, 3))}
    assert training.summarize_tokens(sums).perplexity == np.inf


@pytest.mark.parametrize("name", ["top_k", "bins", "levels"])
def test_nothing_to_count_into_is_refused(scores, name):
    with pytest.raises(ValueError, match="at least 1"):
        training.token_metrics(scores, jnp.ones(M), **{name: 0})
