"""Exact counts against exact fractions."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


def by_fractions(n, rate):
    share = Fraction(repr(rate))
    return 0 if n == 0 or rate == 0 else max(1, int(share * n + Fraction(1, 2)))


@pytest.mark.parametrize("rate", [0.0, 0.0001, 0.05, 0.145, 0.15, 0.3, 0.35, 0.5, 0.9999, 1.0])
def test_equals_fractions_on_host_and_device(rate):
    numbers = np.concatenate([np.arange(3000), [10**6, 10**9, 2**31 - 1]]).astype(np.int32)
    expected = [by_fractions(int(n), rate) for n in numbers]
    assert ops.exact_counts(numbers.astype(np.int64), rate).tolist() == expected
    on_device = jax.jit(ops.exact_counts, static_argnums=1)(jnp.asarray(numbers), rate)
    assert on_device.tolist() == expected
    assert on_device.dtype == jnp.int32


def test_a_half_rounds_up_even_where_floats_say_less():
    assert 0.145 * 100 < 14.5
    assert ops.exact_counts(np.array([100]), 0.145).tolist() == [15]


def test_a_third_is_a_third():
    assert ops.exact_counts(np.array([3, 6, 300]), 1 / 3).tolist() == [1, 2, 100]


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_is_a_share(rate):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        ops.exact_counts(np.array([1]), rate)


def test_shares_are_counted_as_fractions_would_be_on_host_and_device():
    generator = np.random.default_rng(0)
    numbers = np.concatenate([generator.integers(0, 3000, 500), [0, 1, 1, 2**31 - 1, 7]]).astype(np.int32)
    shares = generator.integers(0, 2**32, numbers.size, dtype=np.uint32)
    shares[:50] = (generator.integers(0, 9, 50) << 29).clip(0, 2**32 - 1)  # eighths, where halves are met
    shares[-5:] = [2**32 - 1, 1, 0, 2**32 - 1, 2**32 - 1]
    expected = [
        0 if not n * q else max(1, int(Fraction(n * q, 2**32) + Fraction(1, 2)))
        for n, q in zip(numbers.tolist(), shares.tolist(), strict=True)
    ]
    assert ops.share_counts(numbers, shares).tolist() == expected
    assert expected[-5:] == [0, 1, 0, 2**31 - 1, 7]
    on_device = jax.jit(ops.share_counts)(jnp.asarray(numbers), jnp.asarray(shares))
    assert on_device.tolist() == expected
    assert on_device.dtype == jnp.int32
