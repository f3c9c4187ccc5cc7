"""Means of distributions and their disagreement, against numbers worked by hand and float64 sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops

mixed = jax.jit(ops.mixture_log_probs, static_argnames="combine")
disagreed = jax.jit(ops.disagreement)


def drawn(seed, members=3, scale=3.0):
    logits = np.random.default_rng(seed).normal(scale=scale, size=(members, 2, 4, 5))
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16))
def test_means_and_entropies_of_float64(seed):
    log_probs = drawn(seed)
    probs = np.exp(log_probs)
    given_probs = jnp.asarray(log_probs, jnp.float32)
    # Float32 log-probabilities of at most some tens of nats.
    np.testing.assert_allclose(mixed(given_probs), np.log(probs.mean(0)), atol=1e-5)
    geometric = np.exp(log_probs.mean(0))
    geometric /= geometric.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(mixed(given_probs, "log_probs")), geometric, atol=1e-6)
    predictive = -(probs.mean(0) * np.log(probs.mean(0))).sum(-1)
    expected = -(probs * log_probs).sum(-1).mean(0)
    found = disagreed(given_probs)
    np.testing.assert_allclose(found.predictive_entropy, predictive, atol=1e-5)
    np.testing.assert_allclose(found.expected_entropy, expected, atol=1e-5)
    np.testing.assert_allclose(found.mutual_information, predictive - expected, atol=1e-5)
    assert (found.mutual_information >= 0).all() and (found.mutual_information <= np.log(3) + 1e-5).all()


def test_members_that_agree_are_one():
    log_probs = jnp.asarray(np.repeat(drawn(0, members=1), 4, axis=0), jnp.float32)
    for combine in ("probs", "log_probs"):
        np.testing.assert_allclose(mixed(log_probs, combine), log_probs[0], atol=1e-6)
    assert float(disagreed(log_probs).mutual_information.max()) < 1e-6


def test_uniform_members_are_as_uncertain_as_can_be():
    found = disagreed(jnp.full((4, 5), -jnp.log(5.0)))
    np.testing.assert_allclose(found.predictive_entropy, np.log(5), rtol=1e-6)
    np.testing.assert_allclose(found.mutual_information, 0.0, atol=1e-6)


def test_a_probability_of_zero_is_no_nan():
    with jax.debug_nans(True):
        log_probs = jnp.log(jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        np.testing.assert_allclose(jnp.exp(mixed(log_probs)), [0.5, 0.5, 0.0], atol=1e-7)
        np.testing.assert_allclose(disagreed(log_probs).mutual_information, np.log(2), rtol=1e-6)


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'probs' or of 'log_probs': got 'logits'"):
        ops.mixture_log_probs.__wrapped__(jnp.zeros((2, 3)), "logits")
