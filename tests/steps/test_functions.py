"""Step functions of one run against values worked out by hand, and against sums over the vocabulary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import steps

# Two rows whose values are known to seven digits.
LOGITS = jnp.array([[0.0, 1.0, 2.0, 3.0], [2.0, -1.0, 0.5, 0.0]])
TARGETS = jnp.array([3, 2])
INPUTS = steps.StepInputs(LOGITS, TARGETS)
KNOWN = [
    (steps.logit, {}, [3.0, 0.5]),
    (steps.probability, {}, [0.6439143, 0.1584447]),
    (steps.probability, {"logprob": True}, [-0.4401897, -1.8423496]),
    (steps.entropy, {}, [0.9475369, 0.8782811]),
    (steps.crossentropy, {}, [0.4401897, 1.8423496]),
    (steps.crossentropy, {"base": "bits"}, [0.6350596, 2.6579488]),
    (steps.perplexity, {}, [1.5530017, 6.3113496]),
    (steps.perplexity, {"convention": "inseq"}, 2 ** np.array([0.4401897, 1.8423496])),
    (steps.top_p_size, {"top_p": 0.0}, [1, 1]),
    (steps.top_p_size, {"top_p": 0.5}, [1, 1]),
    (steps.top_p_size, {"top_p": 0.9}, [3, 3]),
    (steps.top_p_size, {"top_p": 0.95}, [3, 3]),
    (steps.top_p_size, {"top_p": 1.0}, [4, 4]),
]


@pytest.mark.parametrize(
    ("function", "options", "expected"), KNOWN, ids=lambda value: getattr(value, "__name__", None)
)
def test_known_values(function, options, expected):
    found = function(INPUTS, **options)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_the_first_values_are_those_of_a_sum_over_the_vocabulary():
    logits = np.random.default_rng(0).normal(0, 4, (5, 50))
    targets = np.arange(5)
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    inputs = steps.StepInputs(jnp.asarray(logits, jnp.float32), jnp.asarray(targets))
    np.testing.assert_allclose(steps.entropy(inputs), -(probs * np.log(probs)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(steps.perplexity(inputs), 1 / probs[targets, targets], rtol=1e-5)
    for top_p in (0.1, 0.5, 0.99):
        sizes = [np.searchsorted(np.cumsum(np.sort(row)[::-1]), top_p) + 1 for row in probs]
        np.testing.assert_array_equal(steps.top_p_size(inputs, top_p=top_p), sizes)


def test_an_impossible_token_adds_nothing():
    inputs = steps.StepInputs(jnp.array([0.0, 0.0, -jnp.inf]), jnp.array(2))
    assert steps.entropy(inputs).item() == pytest.approx(np.log(2))
    assert steps.probability(inputs).item() == 0
    assert steps.crossentropy(inputs).item() == np.inf
    assert steps.top_p_size(inputs, top_p=1.0).item() == 2
    gradient = jax.grad(lambda z: steps.entropy(inputs._replace(logits=z)))(inputs.logits)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("function", [steps.logit, steps.probability, steps.crossentropy, steps.perplexity])
@pytest.mark.parametrize("target", [-1, -100, 4])
def test_an_id_that_is_none_gives_no_number(function, target):
    assert np.isnan(function(steps.StepInputs(LOGITS[0], jnp.array(target))))


def test_dropout_runs_give_their_mean_and_the_z_score():
    noisy = jnp.log(jnp.array([[[0.2, 0.8]], [[0.4, 0.6]], [[0.6, 0.4]]]))
    inputs = steps.StepInputs(jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([0]), noisy_logits=noisy)
    np.testing.assert_allclose(steps.mc_dropout_prob_avg(inputs), [0.4], rtol=1e-6)
    # 0.5 is half a deviation of 0.2 (of 0.2, 0.4, 0.6 with two degrees of freedom) above 0.4.
    np.testing.assert_allclose(steps.mc_dropout_prob_avg(inputs, statistic="z_score"), [0.5], rtol=1e-5)
    logs = np.log([0.2, 0.4, 0.6])
    np.testing.assert_allclose(steps.mc_dropout_prob_avg(inputs, logprob=True), [logs.mean()], rtol=1e-6)
    z_score = (np.log(0.5) - logs.mean()) / logs.std(ddof=1)
    found = steps.mc_dropout_prob_avg(inputs, logprob=True, statistic="z_score")
    np.testing.assert_allclose(found, [z_score], rtol=1e-5)


def test_a_z_score_needs_two_runs():
    inputs = INPUTS._replace(noisy_logits=LOGITS[None])
    with pytest.raises(ValueError, match="a z-score needs at least 2 passes under dropout: got 1"):
        steps.mc_dropout_prob_avg(inputs, statistic="z_score")


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (steps.crossentropy, {"base": "dits"}, "base is one of nats, bits: got 'dits'"),
        (steps.perplexity, {"convention": "old"}, "convention is one of exact, inseq: got 'old'"),
        (steps.mc_dropout_prob_avg, {"statistic": "avg"}, "statistic is one of mean, z_score: got 'avg'"),
        (steps.top_p_size, {"top_p": 1.01}, r"top_p is a probability in \[0, 1\]: got 1.01"),
    ],
)
def test_what_no_option_is_is_refused(function, options, message):
    with pytest.raises(ValueError, match=message):
        function(INPUTS, **options)
