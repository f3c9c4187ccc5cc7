"""Log-probabilities of texts: hand-worked logits, a source with known likelihoods, packing and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops, scoring

V = 7
LOGITS = jnp.array([[0.0, 1.0, 2.0], [3.0, 4.0, 0.0], [1.0, 2.0, 3.0], [4.0, 0.0, 1.0]])
TOKENS = jnp.array([0, 1, 2, 0])


@pytest.fixture(scope="module")
def model():
    config = models.TransformerConfig(
        vocab_size=V,
        width=16,
        depth=1,
        num_heads=2,
        max_length=16,
        causal=True,
        position="rotary",
        init_std=0.5,
    )
    return models.build(config, "causal_lm")


@pytest.fixture(scope="module")
def params(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]


def test_hand_worked_logits_are_shifted_and_the_first_token_is_unpredicted():
    log_probs = scoring.next_token_log_probs(LOGITS, TOKENS)
    np.testing.assert_allclose(log_probs, [0.0, -1.407606, -4.326563, -2.407606], atol=1e-6)


def test_logits_of_members_and_rows_are_scored_each_alone():
    members = jnp.stack([LOGITS, LOGITS[::-1]])[:, None]
    tokens = jnp.broadcast_to(TOKENS, (2, 1, 4))
    log_probs = scoring.next_token_log_probs(members, tokens)
    assert log_probs.shape == (2, 1, 4)
    for member in range(2):
        alone = scoring.next_token_log_probs(members[member, 0], TOKENS)
        np.testing.assert_allclose(log_probs[member, 0], alone, rtol=1e-6)


def test_documents_and_padding_of_a_row_of_logits():
    log_probs = scoring.next_token_log_probs(LOGITS, TOKENS, jnp.array([1, 1, 2, 0]))
    np.testing.assert_allclose(log_probs, [0.0, -1.407606, 0.0, 0.0], atol=1e-6)


def test_the_model_is_scored_as_its_logits_are(model, params):
    tokens = jax.random.randint(jax.random.key(1), (3, 9), 0, V)
    hidden = model.apply({"params": params}, tokens).hidden
    logits = model.apply({"params": params}, hidden, method="logits")
    for tile in (4, 1024):
        ours = scoring.causal_log_probs(model, params, tokens, tile=tile)
        np.testing.assert_allclose(ours, scoring.next_token_log_probs(logits, tokens), atol=2e-6)


def test_packing_and_padding_change_no_token(model, params):
    draw = np.random.default_rng(0)
    texts = [draw.integers(0, V, length).astype(np.int32) for length in (4, 1, 6)]
    tokens = np.concatenate([*texts, np.full(3, 5)])[None].astype(np.int32)
    segments = np.repeat([1, 2, 3, 0], (4, 1, 6, 3))[None].astype(np.int32)
    row = scoring.causal_log_probs(model, params, tokens, segments=segments)[0]
    alone = [scoring.causal_log_probs(model, params, text[None])[0] for text in texts]
    np.testing.assert_allclose(row, np.concatenate([*alone, np.zeros(3)]), atol=2e-6)
    other = scoring.causal_log_probs(model, params, np.where(segments == 0, 1, tokens), segments=segments)
    np.testing.assert_array_equal(row, other[0])
    counted = ops.predicted_mask(jnp.asarray(segments))
    assert ((np.asarray(row)[None] < 0) == np.asarray(counted)).all()


def test_an_opening_token_in_front_makes_the_first_one_count(model, params):
    tokens = jnp.array([[1, 2, 3, 0], [4, 5, 6, 1]])
    segments = jnp.array([[1, 1, 1, 0], [1, 1, 1, 1]])
    ours = scoring.causal_log_probs(model, params, tokens, segments=segments, bos_id=6)
    padded = jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=6)
    written = scoring.causal_log_probs(
        model, params, padded, segments=jnp.concatenate([segments[:, :1], segments], axis=1)
    )
    np.testing.assert_array_equal(ours, written[:, 1:])
    assert (np.asarray(ours)[np.asarray(segments) > 0] < 0).all()
    assert ours[0, 3] == 0


def test_the_likelihoods_of_all_texts_of_a_length_sum_to_one(model, params):
    """What a probability must do: over every text of three tokens behind an opening one."""
    texts = np.stack(np.meshgrid(*[np.arange(V)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    log_probs = scoring.causal_log_probs(model, params, texts, bos_id=0)
    total = scoring.log_likelihood(log_probs, jnp.ones(texts.shape, bool))
    np.testing.assert_allclose(np.exp(np.asarray(total, np.float64)).sum(), 1.0, rtol=1e-5)


def test_bfloat16_models_are_scored_in_float32(params):
    config = models.TransformerConfig(
        vocab_size=V,
        width=16,
        depth=1,
        num_heads=2,
        max_length=16,
        causal=True,
        position="rotary",
        dtype="bfloat16",
    )
    model = models.build(config, "causal_lm")
    assert scoring.causal_log_probs(model, params, jnp.array([[1, 2, 3]])).dtype == jnp.float32
