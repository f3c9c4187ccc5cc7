"""Scores by column against the same by row."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops


def test_columns_are_scored_as_rows_are():
    logits = 5 * jax.random.normal(jax.random.key(0), (11, 37))
    # Two equal logits, one of them the target's, and an id that cannot be.
    logits = logits.at[3, 5].set(logits[3, 6]).at[4, 9].set(-jnp.inf)
    targets = jnp.arange(11, dtype=jnp.int32).at[3].set(6)
    rows = jax.jit(ops.logit_scores)(logits, targets)
    columns = jax.jit(ops.column_scores)(logits.T, targets)
    np.testing.assert_array_equal(columns.ranks, rows.ranks)
    for name in ("log_probs", "confidence", "entropy"):
        np.testing.assert_allclose(getattr(columns, name), getattr(rows, name), rtol=1e-5, atol=2e-6)
    alone = jax.jit(ops.column_log_probs)(logits.T.astype(jnp.bfloat16), targets)
    np.testing.assert_allclose(alone, ops.gather_log_probs(logits.astype(jnp.bfloat16), targets), rtol=1e-6)


def test_large_logits_neither_overflow_nor_vanish():
    logits = jnp.array([[1e4, -1e4], [1e4, 1e4]])
    with jax.debug_nans(True):
        scores = ops.column_scores(logits, jnp.array([0, 0]))
    np.testing.assert_allclose(scores.log_probs, [-np.log(2.0), -2e4])
    np.testing.assert_allclose(scores.entropy, [np.log(2.0), 0.0], atol=1e-6)


def test_an_id_outside_the_vocabulary_is_nan():
    assert np.isnan(ops.column_log_probs(jnp.zeros((3, 1)), jnp.array([3]))).all()
