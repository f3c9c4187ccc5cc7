"""Noise on embeddings: the formula, its moments, whose it is, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import corruption

WIDTH, LENGTH = 16, 128
EMBEDDINGS = jax.random.normal(jax.random.key(1), (4, LENGTH, WIDTH))
IDS = jnp.broadcast_to(jnp.arange(4)[:, None], (4, LENGTH))
OFFSETS = jnp.broadcast_to(jnp.arange(LENGTH), (4, LENGTH))
ALLOWED = OFFSETS % 5 > 0


@jax.jit
def noisy(embeddings, fractions, rows=None):
    rows = jnp.arange(4) if rows is None else rows
    return corruption.corrupt_embeddings(
        jax.random.key(0),
        embeddings[rows],
        ALLOWED[rows],
        example_ids=IDS[rows],
        offsets=OFFSETS[rows],
        segments=jnp.ones_like(IDS[rows]),
        epochs=jnp.zeros(rows.size, jnp.int32),
        fractions=jnp.full(IDS[rows].shape, fractions),
        variance=10.0,
    )


def test_it_is_a_mixture_with_noise_of_the_variance_asked_for():
    for fraction in (0.5, 1.0):
        found = noisy(EMBEDDINGS, fraction)
        noise = np.asarray((found.embeddings - (1 - fraction) * EMBEDDINGS)[ALLOWED])
        # 6,500 draws: four standard errors of a deviation are 3.5 %, of a mean 5 % of it.
        assert abs(noise.std() / (fraction * np.sqrt(10)) - 1) < 0.035
        assert abs(noise.mean()) < 0.05 * noise.std()
        np.testing.assert_array_equal(found.fractions, np.where(ALLOWED, fraction, 0).astype(np.float32))


def test_only_what_is_allowed_is_touched_and_a_fraction_of_zero_touches_nothing():
    found = noisy(EMBEDDINGS, 0.7).embeddings
    np.testing.assert_array_equal(found[~ALLOWED], EMBEDDINGS[~ALLOWED])
    np.testing.assert_array_equal(noisy(EMBEDDINGS, 0.0).embeddings, EMBEDDINGS)


def test_the_noise_is_the_examples_in_any_batch():
    order = jnp.array([2, 0, 3])
    np.testing.assert_array_equal(
        noisy(EMBEDDINGS, 0.7, order).embeddings, noisy(EMBEDDINGS, 0.7).embeddings[order]
    )


def test_the_gradient_is_what_is_left_of_the_embedding():
    gradient = jax.grad(lambda embeddings: noisy(embeddings, 0.25).embeddings.sum())(EMBEDDINGS)
    expected = np.where(ALLOWED[..., None], 0.75, 1.0) * np.ones(WIDTH)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    by_fraction = jax.grad(lambda fraction: noisy(EMBEDDINGS, fraction).embeddings.sum())(0.25)
    at_ends = noisy(EMBEDDINGS, 1.0).embeddings.sum() - noisy(EMBEDDINGS, 0.0).embeddings.sum()
    np.testing.assert_allclose(by_fraction, at_ends, rtol=1e-3)
