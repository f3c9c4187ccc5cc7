"""Scores of predictions against sorting whole rows of probabilities in NumPy's float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops

M, D, V = 13, 6, 11


@pytest.fixture(scope="module")
def head():
    generator = np.random.default_rng(0)
    arrays = generator.normal(size=(M, D)), generator.normal(size=(V, D)), generator.normal(size=V)
    features, kernel, bias = (jnp.asarray(array, jnp.float32) for array in arrays)
    return features, kernel, bias, jnp.asarray(generator.integers(0, V, M), jnp.int32)


@pytest.mark.parametrize("tile", [1, 4, 64])
def test_equals_sorting_the_whole_rows_at_any_tile(head, tile):
    features, kernel, bias, targets = head
    scores = jax.jit(ops.token_scores, static_argnames="tile")(features, kernel, bias, targets, tile=tile)
    logits = np.asarray(features, np.float64) @ np.asarray(kernel, np.float64).T + np.asarray(bias)
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    order = np.argsort(-probs, axis=-1)
    ranks = [order[row].tolist().index(target) for row, target in enumerate(targets.tolist())]
    # float32 against float64: a few units in the last place of sums of order 10.
    np.testing.assert_allclose(scores.log_probs, np.log(probs[np.arange(M), targets]), atol=5e-6)
    np.testing.assert_array_equal(scores.ranks, ranks)
    np.testing.assert_allclose(scores.confidence, probs.max(-1), atol=1e-6)
    np.testing.assert_allclose(scores.entropy, -(probs * np.log(probs)).sum(-1), atol=5e-6)


def test_the_log_probs_are_those_of_the_shared_gather(head):
    features, kernel, bias, targets = head
    scores = ops.token_scores(features, kernel, bias, targets, tile=4)
    wanted = ops.token_log_probs(features, kernel, bias, targets, tile=4)
    np.testing.assert_allclose(scores.log_probs, wanted, atol=1e-6)  # the same sum, reassociated


def test_rank_zero_is_what_the_cross_entropy_counts_as_correct(head):
    features, kernel, bias, targets = head
    features = features.at[3].set(0.0)  # logits are the bias alone, of which two are made equal
    bias = bias.at[jnp.array([2, 7])].set(bias.max() + 1)
    for target in (2, 7):
        chosen = targets.at[3].set(target)
        scores = ops.token_scores(features, kernel, bias, chosen)
        result = ops.tiled_cross_entropy(features, kernel, bias, chosen, jnp.ones(M))
        np.testing.assert_array_equal(scores.ranks == 0, result.correct)
        assert scores.ranks[3] == (0 if target == 2 else 1)


def test_equally_likely_ids_rank_in_their_order():
    scores = ops.token_scores(jnp.zeros((4, 2)), jnp.zeros((4, 2)), None, jnp.arange(4))
    assert scores.ranks.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(scores.confidence, 0.25)
    np.testing.assert_allclose(scores.entropy, np.log(4), rtol=1e-6)


def test_certainty_has_no_entropy_and_impossible_ids_are_no_nan():
    with jax.debug_nans(True):
        scores = ops.token_scores(
            jnp.ones((1, 1)), jnp.array([[0.0], [-jnp.inf], [-jnp.inf]]), None, jnp.array([1])
        )
    assert scores.entropy.tolist() == [0.0] and scores.confidence.tolist() == [1.0]
    assert scores.log_probs.tolist() == [-np.inf] and scores.ranks.tolist() == [1]


def test_no_array_is_larger_than_a_tile_of_logits():
    rows, vocabulary, tile = 64, 1000, 8
    arrays = (jnp.zeros((rows, 2)), jnp.zeros((vocabulary, 2)), jnp.zeros(rows, jnp.int32))

    def scores(features, kernel, targets):
        return ops.token_scores(features, kernel, None, targets, tile=tile)

    text = jax.jit(scores).lower(*arrays).compile().as_text()
    assert f"[{tile},{vocabulary}]" in text
    assert f"[{rows},{vocabulary}]" not in text
    assert f"[{rows // tile},{tile},{vocabulary}]" not in text


def test_no_positions_have_no_scores():
    empty = ops.token_scores(jnp.zeros((0, 2)), jnp.zeros((3, 2)), None, jnp.zeros(0, jnp.int32))
    assert [part.shape for part in empty] == [(0,)] * 4


def test_a_tile_without_positions_is_refused(head):
    with pytest.raises(ValueError, match="at least one position"):
        ops.token_scores(*head, tile=0)
