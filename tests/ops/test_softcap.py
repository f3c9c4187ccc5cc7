"""A soft cap goes through loss, scores and log-probabilities as it goes through logits."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops

CAP = 1.5
FEATURES = jax.random.normal(jax.random.key(0), (7, 4))
KERNEL = jax.random.normal(jax.random.key(1), (11, 4))
BIAS = jax.random.normal(jax.random.key(2), (11,))
TARGETS = jnp.array([0, 3, 10, 5, 5, 1, 2])
LOG_PROBS = jax.nn.log_softmax(CAP * jnp.tanh((FEATURES @ KERNEL.T + BIAS[None]) / CAP))
CHOSEN = np.asarray(LOG_PROBS)[np.arange(7), np.asarray(TARGETS)]


def test_log_probs_and_scores():
    given = (FEATURES, KERNEL, BIAS)
    got = ops.token_log_probs(*given, TARGETS, softcap=CAP, tile=3)
    np.testing.assert_allclose(got, CHOSEN, rtol=0, atol=1e-6)
    scores = ops.token_scores(*given, TARGETS, softcap=CAP, tile=3)
    np.testing.assert_allclose(scores.log_probs, CHOSEN, rtol=0, atol=1e-6)
    top = ops.top_k_log_probs(*given, 2, softcap=CAP)
    np.testing.assert_allclose(top.log_probs, np.sort(LOG_PROBS)[:, :-3:-1], rtol=0, atol=1e-6)


def test_loss_and_its_gradients():
    """Against JAX's own derivative of the plain formula, with smoothing and a penalty of the partition."""
    weights = jnp.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0, 1.0])

    def plain(features, kernel, bias):
        logits = CAP * jnp.tanh((features @ kernel.T + bias[None]) / CAP)
        partition = jax.nn.logsumexp(logits, axis=-1)
        log_probs = logits - partition[:, None]
        nll = -log_probs[jnp.arange(7), TARGETS]
        losses = 0.9 * nll - 0.1 * log_probs.mean(-1) + 0.01 * partition**2
        return (weights * losses).sum()

    def tiled(features, kernel, bias):
        options = {"label_smoothing": 0.1, "z_loss": 0.01, "softcap": CAP, "tile": 3}
        return ops.tiled_cross_entropy(features, kernel, bias, TARGETS, weights, **options).loss_sum

    wanted, expected = jax.value_and_grad(plain, (0, 1, 2))(FEATURES, KERNEL, BIAS)
    got, gradients = jax.jit(jax.value_and_grad(tiled, (0, 1, 2)))(FEATURES, KERNEL, BIAS)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
