"""The law of an example's fraction against cortex's means and quantiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption

# Mean fraction of each schedule under Beta(3, 1) and under uniform timesteps.
MEANS = {
    "linear": (0.114, 0.391),
    "cosine": (0.359, 0.633),
    "sqrt": (0.342, 0.535),
    "truncated_cosine": (0.334, 0.601),
    "truncated_linear": (0.015, 0.155),
    "piecewise_linear": (0.115, 0.389),
}


def fractions(**options):
    return corruption.fraction_table(corruption.NoiseConfig(**options)) / 2**32


@pytest.mark.parametrize("name", MEANS)
def test_the_means_are_those_of_the_table(name):
    beta, uniform = MEANS[name]
    # Cortex rounds to whole steps and gives its step 0, one of 1,000, the fraction 0.
    assert fractions(schedule=name).mean() == pytest.approx(beta, abs=1e-3)
    assert fractions(schedule=name, timesteps="uniform").mean() == pytest.approx(uniform, abs=1e-3)


def test_the_quantiles_of_cosine_under_beta_are_those_of_the_table():
    # The table's are of a sample.
    found = np.quantile(fractions(schedule="cosine"), [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(found, [0.026, 0.142, 0.316, 0.544, 0.833], atol=2e-3)
    assert fractions(schedule="cosine", beta_a=7.0).mean() == pytest.approx(0.189, abs=1e-3)


def test_a_constant_rate_has_no_table():
    assert corruption.fraction_table(corruption.NoiseConfig(rate=0.2)) is None


def test_draws_are_one_an_example_in_any_batch_and_follow_the_law():
    table = corruption.fraction_table(corruption.NoiseConfig(schedule="cosine"))
    ids = jnp.repeat(jnp.arange(4000), 3).reshape(1, -1)
    draw = jax.jit(
        lambda ids, epoch: corruption.draw_fractions(
            jax.random.key(3), table, epochs=jnp.full(1, epoch), example_ids=ids
        )
    )
    drawn = np.asarray(draw(ids, 0)).reshape(-1, 3)
    assert (drawn == drawn[:, :1]).all()
    shares = drawn[:, 0] / 2**32
    # Four standard errors of 4,000 draws of deviation 0.25.
    assert abs(shares.mean() - 0.359) < 4 * 0.25 / np.sqrt(4000)
    np.testing.assert_array_equal(np.asarray(draw(ids[:, ::-1], 0))[:, ::-1].reshape(-1, 3), drawn)
    assert (np.asarray(draw(ids, 1)).reshape(-1, 3) != drawn).mean() > 0.9
