"""The schedules against cortex's own numbers for 1,000 steps, and the two directions of time."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption

# The fraction at t = 1, 250, 500, 750, 1000 of 1,000 steps; printed to the digits given.
TABLE = {
    "linear": ((0.99995, 0.723937, 0.280334, 0.057884, 0.006353), 1e-4, 0.02),
    "cosine": ((0.999979, 0.920333, 0.702740, 0.379832, 4.9e-5), 4.128e-5, 0.999),
    "sqrt": ((0.988231, 0.710598, 0.543857, 0.367790, 6.74e-4), 0.02340, 0.999),
    "truncated_cosine": ((0.989821, 0.878362, 0.655939, 0.350802, 0.001428), 0.02025, 0.750),
    "truncated_linear": ((0.994937, 0.205438, 0.022432, 0.001298, 4e-5), 0.0101, 0.03),
    "piecewise_linear": ((0.994937, 0.721354, 0.283793, 0.059160, 0.006514), 0.0101, 0.02),
}
TIMES = np.array([1, 250, 500, 750, 1000]) / 1000


@pytest.mark.parametrize("name", TABLE)
def test_the_fractions_and_the_ends_of_the_noise_are_those_of_the_table(name):
    fractions, first, last = TABLE[name]
    np.testing.assert_allclose(corruption.schedule_fraction(name, TIMES), fractions, atol=6e-7)
    betas = corruption.SCHEDULES[name](1000)
    assert len(betas) == 1000
    np.testing.assert_allclose(betas[[0, -1]], [first, last], rtol=5e-4)


def test_cosine_in_ten_steps_is_its_closed_form_but_for_the_last():
    s = np.arange(1, 10) / 10
    expected = np.cos((s + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)
    np.testing.assert_allclose(corruption.schedule_fraction("cosine", s, steps=10), expected, atol=1e-12)
    ten = corruption.schedule_fraction("cosine", np.arange(1, 11) / 10, steps=10)
    table = [0.98595, 0.94800, 0.88708, 0.80466, 0.70274, 0.58379, 0.45069, 0.30667, 0.15522, 0.00491]
    np.testing.assert_allclose(ten, table, atol=5e-6)


@pytest.mark.parametrize("name", TABLE)
def test_time_runs_down_as_in_cortex_or_up_by_name_and_without_a_jump(name):
    s = np.linspace(0, 1, 2001)
    down = corruption.schedule_fraction(name, s)
    assert down[0] == 1 and (np.diff(down) <= 0).all() and np.abs(np.diff(down)).max() < 0.02
    np.testing.assert_allclose(corruption.schedule_fraction(name, s, time="forward"), down[::-1], atol=1e-12)


def test_on_the_device_it_is_the_same():
    ours = corruption.schedule_fraction("sqrt", jnp.asarray(TIMES, jnp.float32))
    np.testing.assert_allclose(ours, corruption.schedule_fraction("sqrt", TIMES), atol=1e-6)


def test_an_unknown_schedule_and_too_few_steps_are_refused():
    with pytest.raises(ValueError, match=r"a schedule is one of linear, .*: got 'cosin'"):
        corruption.schedule_fraction("cosin", 0.5)
    with pytest.raises(ValueError, match="'linear' takes at least 20 steps: got steps=19"):
        corruption.schedule_fraction("linear", 0.5, steps=19)
