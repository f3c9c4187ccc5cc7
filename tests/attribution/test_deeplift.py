"""DeepLIFT: complete on models of every kind, and by hand on functions of few numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from jaxlm.attribution import METHODS, attribute
from jaxlm.attribution._secants import secant_vjp
from jaxlm.errors import UsageError
from tests.attribution.linear_model import KERNEL, TABLE, columns, task
from tests.steps.tiny_models import open_model

ONE_DEVICE = tuple(jax.local_devices()[:1])


@pytest.mark.parametrize(
    ("kind", "changes", "baseline"),
    [
        ("causal", {"depth": 2, "activation": "gelu_tanh"}, "zero"),
        ("masked", {"depth": 2, "norm_placement": "post"}, "zero"),
        ("seq2seq", {"activation": "relu", "position": models.Relative()}, "pad"),
        ("causal", {"activation": "swiglu", "norm": "rms", "position": models.Rotary()}, "pad"),
    ],
    ids=["gpt2", "bert", "t5", "llama"],
)
def test_scores_sum_to_the_difference(kind, changes, baseline):
    """The models of GPT-2, BERT, T5 and Llama in small, with a step function that is far from linear."""
    loaded = open_model(kind, **changes)
    text, target = {
        "causal": ("To be ", "To be or"),
        "masked": ("To [MASK]e or", "To be or"),
        "seq2seq": ("To be or", "Sein"),
    }[kind]
    (result,) = attribute(
        loaded,
        text,
        targets=target,
        method="deeplift",
        step="crossentropy",
        baseline=baseline,
        devices=ONE_DEVICE,
    )
    assert (result.completeness_error < 1e-3).all(), result.completeness_error
    assert np.abs(result.values - result.baseline_values).max() > 0.1


def test_a_token_of_a_linear_model_is_worth_its_own_logit():
    found = jax.device_get(jax.jit(METHODS["deeplift"].function)(task()))
    for row, number, seen, target in columns():
        expected = TABLE[seen] @ KERNEL[:, target]
        np.testing.assert_allclose(found.target[row, : len(seen), number], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "end", "start", "expected"),
    [
        # A function of one number: its slope between the points.
        (lambda x: jnp.maximum(x[0] - 1.0, 0.0), [3.0], [0.0], [2.0 / 3.0]),
        (lambda x: jnp.exp(x[0]), [1.0], [0.0], [np.e - 1.0]),
        (lambda x: x[0] ** 2, [3.0], [1.0], [4.0]),
        (lambda x: jnp.clip(x[0], 0.0, 1.0) + x[0] ** 1.5, [4.0], [0.0], [0.25 + 2.0]),
        (lambda x: jax.nn.logsumexp(x), [2.0, 2.0], [0.0, 0.0], [0.5, 0.5]),
        # A product: the means of both factors.
        (lambda x: x[0] * x[1], [3.0, 5.0], [1.0, 1.0], [3.0, 2.0]),
        (lambda x: x[0] / x[1], [4.0, 2.0], [0.0, 1.0], [0.75, -1.0]),
        # Where the points coincide: the derivative.
        (lambda x: jnp.sin(x[0]), [0.5], [0.5], [np.cos(0.5)]),
        # The largest of several, and what is not reached.
        (lambda x: jnp.maximum(x[0], x[1]), [2.0, 1.0], [0.0, 1.0], [0.5, 0.5]),
        (lambda x: x[0] + 0.0 * jax.lax.stop_gradient(x[1]), [2.0, 1.0], [0.0, 0.0], [1.0, 0.0]),
    ],
)
def test_multipliers_by_hand(function, end, start, expected):
    end, start = jnp.asarray(end), jnp.asarray(start)
    (value, at_start), pull = secant_vjp(function, end, start)
    (multipliers,) = pull(jnp.ones(()))
    np.testing.assert_allclose(multipliers, expected, rtol=1e-5)
    np.testing.assert_allclose((multipliers * (end - start)).sum(), value - at_start, rtol=1e-5, atol=1e-6)


def test_a_softmax_is_shared_out_without_a_remainder():
    end, start = jnp.array([3.0, -1.0, 0.5]), jnp.array([0.0, 2.0, 0.0])
    (value, at_start), pull = secant_vjp(jax.nn.softmax, end, start)
    for index in range(3):
        (multipliers,) = pull(jnp.eye(3)[index])
        np.testing.assert_allclose(
            multipliers @ (end - start), value[index] - at_start[index], rtol=1e-4, atol=1e-6
        )


def test_what_has_no_rule_is_said():
    with pytest.raises(UsageError, match="deeplift has no rule for the operation 'scan'"):
        secant_vjp(lambda x: jax.lax.map(jnp.exp, x), jnp.ones(2), jnp.zeros(2))
