"""Functions that compare two runs against values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import steps

Z, OTHER = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([3.0, 1.0, 0.0, -1.0])
INPUTS = steps.StepInputs(Z, jnp.array(3), OTHER, jnp.array(3))
KNOWN = [
    (steps.contrast_logits, {}, -1.0),
    (steps.contrast_prob, {}, 0.0152194),
    (steps.contrast_prob, {"logprob": True}, -4.1851827),
    (steps.contrast_logits_diff, {}, 4.0),
    (steps.contrast_prob_diff, {}, 0.6286948),
    (steps.contrast_prob_diff, {"logprob": True}, 3.7449930),
    (steps.pcxmi, {}, -5.4028826),
    (steps.in_context_pvi, {}, -3.7449930),
    (steps.kl_divergence, {}, 2.6982398),
]


@pytest.mark.parametrize(
    ("function", "options", "expected"), KNOWN, ids=lambda value: getattr(value, "__name__", None)
)
def test_known_values(function, options, expected):
    found = function(INPUTS, **options)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_contrast_is_asked_for_its_own_token():
    inputs = INPUTS._replace(contrast_targets=jnp.array(0))
    assert steps.contrast_logits(inputs).item() == 3.0
    assert steps.contrast_logits_diff(inputs).item() == 0.0


def test_equal_runs_differ_by_exactly_nothing():
    inputs = INPUTS._replace(contrast_logits=Z)
    for function in (steps.contrast_logits_diff, steps.contrast_prob_diff, steps.pcxmi, steps.in_context_pvi):
        assert function(inputs).item() == 0.0
    assert steps.kl_divergence(inputs).item() == 0.0
    assert steps.kl_divergence(inputs, top_p=0.7).item() == 0.0


def filtered_kl(p_logits, q_logits, kept):
    """The divergence over the kept tokens, each distribution divided by its sum over them."""
    p, q = (np.exp(np.asarray(z, np.float64)[kept]) for z in (p_logits, q_logits))
    p, q = p / p.sum(), q / q.sum()
    return (p * np.log(p / q)).sum()


def test_filters_choose_by_the_sum_of_both_runs():
    other = jnp.array([3.0, 1.0, 0.5, -1.0])
    inputs = steps.StepInputs(Z, contrast_logits=other)
    np.testing.assert_allclose(steps.kl_divergence(inputs), 2.6062824, rtol=1e-6)
    # Their sums are 3, 2, 2.5, 2: the largest two are tokens 0 and 2, and of four tied ones none is left out.
    np.testing.assert_allclose(steps.kl_divergence(inputs, top_k=2), 1.9155486, rtol=1e-6)
    np.testing.assert_allclose(steps.kl_divergence(inputs, top_k=3), 2.6062824, rtol=1e-6)
    np.testing.assert_allclose(steps.kl_divergence(inputs, top_k=1), 0.0, atol=1e-7)
    # Of the sums' probabilities, 0.42, 0.26, 0.16, 0.16, a half is held by tokens 0 and 2.
    found = steps.kl_divergence(inputs, top_p=0.5)
    np.testing.assert_allclose(found, filtered_kl(Z, other, [0, 2]), rtol=1e-6)


@pytest.mark.parametrize(("top_k", "top_p", "least"), [(0, 0.3, 1), (3, 1.0, 1), (4, 0.8, 2), (1, 0.01, 5)])
def test_filters_equal_a_sort_of_the_vocabulary(top_k, top_p, least):
    generator = np.random.default_rng(1)
    for _ in range(20):
        p_logits, q_logits = generator.normal(0, 2, (2, 12)).astype(np.float32)
        merged = (p_logits + q_logits).astype(np.float64)
        order = np.argsort(-merged)
        probs = np.exp(merged[order]) / np.exp(merged).sum()
        number = 12
        if top_p < 1:
            number = max(int(np.searchsorted(np.cumsum(probs), top_p)) + 1, least)
        if top_k:
            number = min(number, max(top_k, least))
        expected = filtered_kl(p_logits, q_logits, order[:number])
        inputs = steps.StepInputs(jnp.asarray(p_logits), contrast_logits=jnp.asarray(q_logits))
        found = steps.kl_divergence(inputs, top_k=top_k, top_p=top_p, min_tokens_to_keep=least)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.6}])
def test_a_token_that_one_filter_or_the_model_removes_gives_no_nan(options):
    inputs = steps.StepInputs(Z.at[0].set(-jnp.inf), contrast_logits=OTHER.at[0].set(-jnp.inf))
    found, gradient = jax.value_and_grad(lambda z: steps.kl_divergence(inputs._replace(logits=z), **options))(
        inputs.logits
    )
    assert np.isfinite(found) and np.isfinite(gradient).all()


def test_what_is_impossible_in_the_contrast_alone_is_infinitely_far():
    inputs = steps.StepInputs(Z, contrast_logits=OTHER.at[0].set(-jnp.inf))
    assert steps.kl_divergence(inputs).item() == np.inf


@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_p": 0.5}, {"top_k": 1, "top_p": 0.5}])
def test_runs_without_a_common_token_are_infinitely_far(options):
    inf = jnp.inf
    inputs = steps.StepInputs(
        jnp.array([1.0, 0.0, -inf, -inf]), contrast_logits=jnp.array([-inf, -inf, 0.0, 2.0])
    )
    assert steps.kl_divergence(inputs, **options).item() == np.inf


@pytest.mark.parametrize(
    "row",
    [
        *("contrast_logits_diff", "contrast_prob_diff", "pcxmi", "in_context_pvi"),
        steps.step_function("contrast_prob_diff", logprob=True),
    ],
)
def test_targets_that_are_impossible_in_both_runs_do_not_differ(row):
    def total(z):
        return steps.step_function(row)(steps.StepInputs(z, jnp.array(0), z, jnp.array(0)))

    value, gradient = jax.value_and_grad(total)(Z.at[0].set(-jnp.inf))
    assert value == 0 and (gradient == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 5}, r"top_k is 0 \(all\) or a number of the vocabulary's 4 tokens: got 5"),
        ({"top_k": -1}, "top_k is 0"),
        ({"top_p": -0.1}, "top_p is a probability"),
        ({"min_tokens_to_keep": 0}, "min_tokens_to_keep is in 1 .. 4: got 0"),
    ],
)
def test_filters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        steps.kl_divergence(INPUTS, **options)
