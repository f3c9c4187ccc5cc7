"""Tiled log-probabilities against the whole softmax in NumPy's float64."""

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


def whole_log_probs(features, kernel, bias):
    features, kernel = np.asarray(features, np.float64), np.asarray(kernel, np.float64)
    logits = features @ kernel.T + (0 if bias is None else np.asarray(bias, np.float64))
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("tile", [1, 4, 13, 64])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_whole_softmax_at_any_tile(head, tile, with_bias):
    features, kernel, bias, targets = head
    bias = bias if with_bias else None
    ours = jax.jit(ops.token_log_probs, static_argnames="tile")(features, kernel, bias, targets, tile=tile)
    expected = whole_log_probs(features, kernel, bias)[np.arange(M), targets]
    # float32 against float64: a few units in the last place of sums of order 10.
    np.testing.assert_allclose(ours, expected, atol=5e-6)


def test_huge_logits_stay_finite():
    log_probs = ops.gather_log_probs(jnp.array([[3e4, 0.0, -3e4]]), jnp.array([1]))
    assert log_probs.tolist() == [-3e4]


def test_bfloat16_features_give_float32_sums(head):
    features, kernel, bias, targets = head
    ours = ops.token_log_probs(features.astype(jnp.bfloat16), kernel, bias, targets)
    rounded = whole_log_probs(features.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), bias)
    assert ours.dtype == jnp.float32
    # The operands are rounded to bfloat16 on both sides; products and sums are float32 here.
    np.testing.assert_allclose(ours, rounded[np.arange(M), targets], atol=1e-5)


def test_a_target_outside_the_vocabulary_is_not_a_number():
    assert np.isnan(ops.gather_log_probs(jnp.zeros((3, 4)), jnp.array([4, -1, -100]))).all()


def test_gradients_equal_those_of_the_whole_softmax(head):
    features, kernel, bias, targets = head

    def tiled(features, kernel, bias):
        return ops.token_log_probs(features, kernel, bias, targets, tile=4).sum()

    def whole(features, kernel, bias):
        log_probs = jax.nn.log_softmax(features @ kernel.T + bias[None], axis=-1)
        return jnp.take_along_axis(log_probs, targets[:, None], axis=1).sum()

    ours = jax.jit(jax.grad(tiled, argnums=(0, 1, 2)))(features, kernel, bias)
    expected = jax.jit(jax.grad(whole, argnums=(0, 1, 2)))(features, kernel, bias)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)  # float32 sums over 13 positions in another order


def test_no_array_is_larger_than_a_tile_of_logits():
    rows, vocabulary, tile = 64, 1000, 8
    shapes = (jnp.zeros((rows, 2)), jnp.zeros((vocabulary, 2)), jnp.zeros(rows, jnp.int32))

    def total(features, kernel, targets):
        return ops.token_log_probs(features, kernel, None, targets, tile=tile).sum()

    text = jax.jit(jax.grad(total, argnums=(0, 1))).lower(*shapes).compile().as_text()
    assert f"[{tile},{vocabulary}]" in text
    assert f"[{rows},{vocabulary}]" not in text
    assert f"[{rows // tile},{tile},{vocabulary}]" not in text


@pytest.mark.parametrize("tile", [4, 64])
def test_top_k_lists_the_likeliest_and_their_log_probs(head, tile):
    features, kernel, bias, _ = head
    log_probs = whole_log_probs(features, kernel, bias)
    top = jax.jit(ops.top_k_log_probs, static_argnames=("k", "tile"))(features, kernel, bias, k=3, tile=tile)
    np.testing.assert_array_equal(top.tokens, np.argsort(-log_probs, axis=-1)[:, :3])
    np.testing.assert_allclose(top.log_probs, -np.sort(-log_probs, axis=-1)[:, :3], atol=5e-6)


def test_forbidden_ids_are_left_out_of_the_list_and_not_of_the_sum(head):
    features, kernel, bias, _ = head
    forbidden = jnp.arange(V) < 5
    top = ops.top_k_log_probs(features, kernel, bias, k=V, forbidden=forbidden)
    permitted = np.asarray(top.tokens[:, : V - 5])
    assert permitted.min() == 5
    assert np.isneginf(top.log_probs[:, V - 5 :]).all()
    for column in range(V - 5):
        same = ops.token_log_probs(features, kernel, bias, top.tokens[:, column])
        np.testing.assert_allclose(top.log_probs[:, column], same, atol=1e-6)  # the same sum, reassociated


def test_no_positions_give_no_log_probs():
    empty = ops.token_log_probs(jnp.zeros((0, 2)), jnp.zeros((3, 2)), None, jnp.zeros(0, jnp.int32))
    assert empty.shape == (0,)


def test_errors_name_the_remedy(head):
    features, kernel, bias, targets = head
    with pytest.raises(ValueError, match="at least one position"):
        ops.token_log_probs(features, kernel, bias, targets, tile=0)
    with pytest.raises(ValueError, match="1 <= k <= the vocabulary's 11"):
        ops.top_k_log_probs(features, kernel, bias, k=12)
