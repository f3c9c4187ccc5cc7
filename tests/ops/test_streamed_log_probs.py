"""Log-probabilities from parts of the vocabulary against those of all of it at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops

FEATURES = jax.random.normal(jax.random.key(0), (9, 8))
KERNEL = 3 * jax.random.normal(jax.random.key(1), (37, 8))
BIAS = jax.random.normal(jax.random.key(2), (37,)).at[4].set(-jnp.inf)
TARGETS = jnp.array([0, 4, 36, 35, 7, 8, 12, 20, 31], jnp.int32)
streamed = jax.jit(ops.streamed_log_probs, static_argnames=("ids", "softcap"))


@pytest.mark.parametrize("ids", [1, 5, 8, 36, 37, 100])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_parts_of_the_vocabulary_change_nothing(ids, softcap):
    wanted = ops.token_log_probs(FEATURES, KERNEL, BIAS, TARGETS, softcap=softcap)
    found = streamed(FEATURES, KERNEL, BIAS, TARGETS, ids=ids, softcap=softcap)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_bfloat16_features_are_summed_in_float32():
    features, kernel = FEATURES.astype(jnp.bfloat16), KERNEL.astype(jnp.bfloat16)
    wanted = ops.token_log_probs(features, kernel, None, TARGETS)
    np.testing.assert_allclose(
        streamed(features, kernel, None, TARGETS, ids=10), wanted, rtol=1e-6, atol=1e-6
    )


def test_large_logits_neither_overflow_nor_vanish():
    kernel = jnp.array([[-1e4], [1e4], [1e4], [-1e4]])
    found = streamed(jnp.ones((2, 1)), kernel, None, jnp.array([0, 2], jnp.int32), ids=1)
    np.testing.assert_allclose(found, [-2e4 - np.log(2.0), -np.log(2.0)])


def test_an_id_outside_the_vocabulary_is_nan():
    found = streamed(FEATURES[:2], KERNEL, None, jnp.array([37, 40], jnp.int32), ids=36)
    assert np.isnan(found).all()


def test_a_part_holds_an_id():
    with pytest.raises(ValueError, match="got ids=0"):
        ops.streamed_log_probs(FEATURES, KERNEL, None, TARGETS, ids=0)
