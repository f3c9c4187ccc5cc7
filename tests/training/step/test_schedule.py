"""The curve of the learning rate, against values that undertale's own schedule gave."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import training

# (t, rate) of undertale's curve for 200 steps, peak 1e-4, warm-up 0.025, printed with 4 to 5 digits.
UNDERTALE_200 = [
    (0, 2.0e-5),
    (1, 3.6e-5),
    (4, 8.4e-5),
    (5, 1.0e-4),
    (6, 9.9994e-5),
    (102, 5.0403e-5),
    (199, 6.489e-9),
    (200, 0.0),
]


@pytest.mark.parametrize(("count", "expected"), UNDERTALE_200)
def test_undertales_curve(count, expected):
    rate = training.learning_rate_schedule(1e-4, 200, warmup=0.025)
    # Half of the last printed digit; float32 itself is a thousand times finer.
    np.testing.assert_allclose(rate(jnp.int32(count)), expected, rtol=8e-5)


def test_undertales_curve_of_a_thousand_steps():
    rate = training.learning_rate_schedule(1e-4, 1000, warmup=0.025)
    np.testing.assert_allclose([rate(jnp.int32(t)) for t in (0, 1, 25)], [4e-6, 7.84e-6, 1e-4], rtol=1e-6)


def test_it_stays_down_after_the_end():
    rate = training.learning_rate_schedule(1e-4, 200, warmup=0.025)
    assert [float(rate(jnp.int32(t))) for t in (200, 201, 300, 10**9)] == [0.0] * 4


@pytest.mark.parametrize("steps", [1, 2, 39])
def test_a_warmup_that_rounds_to_nothing_is_none(steps):
    rate = training.learning_rate_schedule(1e-4, steps, warmup=0.025)
    np.testing.assert_allclose(rate(jnp.int32(0)), 1e-4, rtol=1e-6)
    assert all(math.isfinite(rate(jnp.int32(t))) for t in range(steps + 1))


def test_a_whole_run_of_warmup_is_finite():
    rate = training.learning_rate_schedule(1.0, 4, warmup=4)
    np.testing.assert_allclose([rate(jnp.int32(t)) for t in range(4)], [0.25, 0.4375, 0.625, 0.8125])
    assert float(rate(jnp.int32(4))) == 0.0


def test_linear_and_constant():
    linear = training.learning_rate_schedule(2.0, 10, warmup=0, decay="linear", final_fraction=0.5)
    np.testing.assert_allclose([linear(jnp.int32(t)) for t in (0, 5, 10, 20)], [2.0, 1.5, 1.0, 1.0])
    constant = training.learning_rate_schedule(2.0, 10, warmup=2, decay="constant")
    np.testing.assert_allclose([constant(jnp.int32(t)) for t in (0, 1, 2, 9, 30)], [1.0, 1.5, 2.0, 2.0, 2.0])


def test_an_unknown_decay_is_named():
    with pytest.raises(ValueError, match="cosine, linear, constant, wsd, wsd-sqrt, got 'step'"):
        training.learning_rate_schedule.__wrapped__(1.0, 10, decay="step")


@settings(deadline=None, max_examples=30)
@given(
    steps=st.integers(1, 700),
    warmup=st.one_of(st.floats(0, 0.99), st.integers(0, 200)),
    decay=st.sampled_from(["cosine", "linear", "constant"]),
    final=st.floats(0, 1),
)
def test_it_rises_then_falls_between_its_bounds(steps, warmup, decay, final):
    rate = jax.vmap(
        training.learning_rate_schedule(1.0, steps, warmup=warmup, decay=decay, final_fraction=final)
    )
    warm = training.warmup_steps(warmup, steps)
    values = np.asarray(rate(jnp.arange(1000)))
    assert np.all(values >= -1e-6) and np.all(values <= 1 + 1e-6)
    assert np.all(np.diff(values[: warm + 1]) >= -1e-6) or warm >= steps
    assert np.all(np.diff(values[warm:]) <= 1e-6)
    np.testing.assert_allclose(values[-1], 1.0 if decay == "constant" else final, atol=1e-6)


@pytest.mark.parametrize("decay", ["wsd", "wsd-sqrt"])
@pytest.mark.parametrize(("cooldown", "steps_of_it"), [(0.25, 50), (40, 40)])
def test_wsd_is_stable_and_falls_in_the_cooldown_alone(decay, cooldown, steps_of_it):
    options = {"warmup": 10, "decay": decay, "cooldown": cooldown, "final_fraction": 0.1}
    rate = training.learning_rate_schedule(1e-3, 200, **options)
    found = np.array([rate(jnp.int32(t)) for t in range(202)]) / 1e-3
    expected = np.ones(202)
    expected[:10] = [(1 + 9 * t / 10) / 10 for t in range(10)]
    for t in range(200 - steps_of_it, 202):
        left = max(200 - t, 0) / steps_of_it
        fall = left if decay == "wsd" else 1 - math.sqrt(1 - left)
        expected[t] = 0.1 + 0.9 * fall
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_longer_run_is_the_same_until_the_shorter_one_cools_down():
    options = {"warmup": 5, "decay": "wsd", "cooldown": 20}
    short, long = (training.learning_rate_schedule(1e-3, steps, **options) for steps in (100, 300))
    assert [float(short(jnp.int32(t))) for t in range(81)] == [float(long(jnp.int32(t))) for t in range(81)]
