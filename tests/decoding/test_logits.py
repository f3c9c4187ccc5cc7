"""Penalty, temperature and cuts: against transformers' processors, and against sorting by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import decoding

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 97)).astype(np.float32) * 3
TEXT = RNG.integers(0, 97, size=(4, 12))

warp_logits = jax.jit(decoding.warp_logits)


def seen():
    marks = np.zeros(LOGITS.shape, bool)
    np.put_along_axis(marks, TEXT, True, axis=1)
    return jnp.asarray(marks)


def processors(transformers, options):
    """In the order in which transformers' generate applies them."""
    kinds = {
        "repetition_penalty": lambda value: transformers.RepetitionPenaltyLogitsProcessor(value),
        "temperature": lambda value: transformers.TemperatureLogitsWarper(value),
        "top_k": lambda value: transformers.TopKLogitsWarper(value),
        "top_p": lambda value: transformers.TopPLogitsWarper(value),
        "min_p": lambda value: transformers.MinPLogitsWarper(value),
    }
    return [kinds[name](options[name]) for name in kinds if name in options]


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 1.7},
        {"repetition_penalty": 0.6},
        {"temperature": 0.3},
        {"top_k": 5},
        {"top_k": 1000},
        {"top_p": 0.9},
        {"top_p": 0.02},
        {"min_p": 0.1},
        {"min_p": 1.0},
        {"repetition_penalty": 1.3, "temperature": 1.9, "top_k": 40, "top_p": 0.8, "min_p": 0.05},
    ],
    ids=str,
)
def test_equals_transformers(options):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = torch.tensor(LOGITS)
    for processor in processors(transformers, options):
        theirs = processor(torch.tensor(TEXT), theirs)
    ours = warp_logits(jnp.asarray(LOGITS), decoding.Sampling(**options), seen())
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=0)  # one rounding of a product


FLOATS = st.floats(-50, 50, width=32)
ROWS = st.lists(FLOATS, min_size=16, max_size=16, unique=True).map(lambda row: np.array([row], np.float32))


@settings(deadline=None, max_examples=60)
@given(logits=ROWS, k=st.integers(1, 20))
def test_top_k_keeps_the_k_largest(logits, k):
    kept = np.isfinite(np.asarray(jax.jit(decoding.keep_top_k)(jnp.asarray(logits), k)))[0]
    expected = np.zeros(16, bool)
    expected[np.argsort(-logits[0])[:k]] = True
    np.testing.assert_array_equal(kept, expected)


@settings(deadline=None, max_examples=60)
@given(logits=ROWS, p=st.floats(0.01, 0.999))
def test_top_p_keeps_the_smallest_set_with_enough_mass(logits, p):
    kept = np.isfinite(np.asarray(jax.jit(decoding.keep_top_p)(jnp.asarray(logits), p)))[0]
    probs = np.exp(logits[0].astype(np.float64) - logits.max())
    probs /= probs.sum()
    order = np.argsort(-logits[0])
    count = kept.sum()
    assert set(np.flatnonzero(kept)) == set(order[:count])
    # Float32 sums of 16 probabilities
    assert probs[order[:count]].sum() >= p - 1e-6
    assert count == 1 or probs[order[: count - 1]].sum() < p + 1e-6


def test_ties_stay_together_and_the_likeliest_always_stays():
    logits = jnp.array([[1.0, 2.0, 2.0, -jnp.inf]])
    assert decoding.keep_top_k(logits, 1)[0].tolist() == [-np.inf, 2.0, 2.0, -np.inf]
    assert decoding.keep_top_p(logits, 1e-6)[0].tolist() == [-np.inf, 2.0, 2.0, -np.inf]


def test_other_numbers_are_no_other_program():
    counted = jax.jit(lambda logits, sampling: decoding.warp_logits(logits, sampling))
    for temperature, k in ((0.5, 3), (0.9, 7)):
        numbers = jax.tree.map(jnp.asarray, decoding.Sampling(temperature=temperature, top_k=k))
        counted(jnp.asarray(LOGITS), numbers)
    assert counted._cache_size() == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "temperature is above 0"),
        ({"top_k": 0}, "top_k is at least 1: got 0"),
        ({"top_p": 1.5}, "top_p is in .0, 1.: got 1.5"),
        ({"min_p": -0.1}, "min_p is in"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty is above 0: got nan"),
    ],
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        decoding.Sampling(**values).checked()
