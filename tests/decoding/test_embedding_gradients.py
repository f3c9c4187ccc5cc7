"""Gradients of a prediction's loss: finite differences, hand values, transformers, and any batch."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from tests.decoding.conftest import SMALL, log_softmax
from tests.decoding.own_parts import Bag, Returns, Scores, Total, Words

TOKENS = jnp.array([[5, 6, 7, 8], [9, 10, 0, 0]], jnp.int32)
SEGMENTS = jnp.array([[1, 1, 1, 1], [1, 1, 0, 0]], jnp.int32)
TARGETS = jnp.array([[3], [99]], jnp.int32)
# Float32 sums in another order, of gradients of order one
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def gradients(model, params, tokens=TOKENS, **arrays):
    asked = jax.jit(lambda params, tokens: decoding.embedding_gradients(model, params, tokens, **arrays))
    return jax.device_get(asked(params, tokens))


def masked(**changes):
    config = dataclasses.replace(SMALL, causal=False, **changes)
    model = models.build(config, "masked_lm")
    return model, jax.jit(model.init)(jax.random.key(3), TOKENS)["params"]


def put_together(**parts):
    parts = {"text_field_embedder": Words(), "language_model_head": Scores(), **parts}
    model = decoding.NextTokenModel(**parts)
    return model, model.init_params(jax.random.key(0), TOKENS)


def test_they_are_finite_differences_of_the_loss(writer):
    case = writer()
    found = gradients(case.model, case.params, segments=SEGMENTS, targets=TARGETS)
    vectors = case.model.apply({"params": case.params}, TOKENS, method="token_vectors")

    @jax.jit
    def losses(vectors):
        hidden = case.model.apply(
            {"params": case.params}, models.Inputs(embeddings=vectors, segments=SEGMENTS)
        ).hidden
        last = hidden[jnp.arange(2), jnp.array([3, 1])]
        logits = case.model.apply({"params": case.params}, last, method="logits")
        return -jax.nn.log_softmax(logits)[jnp.arange(2), TARGETS[:, 0]]

    np.testing.assert_allclose(found.loss, losses(vectors), **CLOSE)
    rng, step = np.random.default_rng(0), 1e-2
    for _ in range(8):
        direction = rng.standard_normal(vectors.shape).astype(np.float32)
        direction /= np.linalg.norm(direction, axis=(1, 2), keepdims=True)
        change = np.float64(losses(vectors + step * direction)) - losses(vectors - step * direction)
        expected = (found.gradients * direction).sum((1, 2))
        # A central difference is off by step^2 / 6 times the third derivative, and float32 by 1e-6 / step
        np.testing.assert_allclose(change / (2 * step), expected, rtol=5e-3, atol=2e-3)
    assert np.abs(found.gradients).max() > 0.1


def test_a_linear_head_on_given_vectors_has_the_gradient_of_a_softmax():
    """No `token_vectors`: the gradients are with respect to what the embedder returns."""
    model, params = put_together(text_field_embedder=Bag())
    found = gradients(model, params, segments=SEGMENTS, targets=TARGETS)
    table = np.asarray(params["text_field_embedder"]["table"], np.float64)
    kernel = np.asarray(params["language_model_head"]["kernel"], np.float64)
    expected, saliency = np.zeros((2, 4, 6)), np.zeros((2, 4))
    for row, (last, target) in enumerate([(3, 3), (1, 99)]):
        vector = table[TOKENS[row, : last + 1]].sum(0)
        error = np.exp(log_softmax(vector @ kernel))
        error[target] -= 1.0
        expected[row, last], saliency[row, last] = kernel @ error, 1.0
    np.testing.assert_allclose(found.gradients, expected, **CLOSE)
    np.testing.assert_allclose(found.saliency, saliency, **CLOSE)


def test_saliency_is_gradient_times_vector_over_its_sum():
    model, params = put_together(contextualizer=Total())
    found = gradients(model, params, segments=SEGMENTS, targets=TARGETS)
    table = np.asarray(params["text_field_embedder"]["table"], np.float64)
    strength = np.abs((found.gradients * table[TOKENS]).sum(-1)) * np.asarray(SEGMENTS)
    np.testing.assert_allclose(found.saliency, strength / strength.sum(1, keepdims=True), **CLOSE)
    np.testing.assert_allclose(found.saliency.sum(1), 1.0, rtol=1e-6)
    assert (found.saliency >= 0).all() and (found.saliency[0] > 0).all()


def test_where_nothing_changes_the_loss_saliency_is_zero_and_not_nan():
    model, params = put_together()
    still = jax.tree.map(jnp.zeros_like, params)
    with jax.debug_nans(True):
        found = gradients(model, still, segments=SEGMENTS)
    assert not found.gradients.any() and not found.saliency.any()
    np.testing.assert_allclose(found.loss, np.log(260.0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["causal", "masked", "own"])
def test_each_text_has_its_own_whatever_is_beside_it_and_behind_it(writer, kind):
    positions = jnp.array([[2], [1]], jnp.int32)
    model, params = {
        "causal": lambda: writer()[1:3],
        "masked": masked,
        "own": lambda: put_together(contextualizer=Total()),
    }[kind]()
    found = gradients(model, params, segments=SEGMENTS, positions=positions, targets=TARGETS)
    alone = gradients(model, params, TOKENS[1:, :2], positions=positions[1:], targets=TARGETS[1:])
    np.testing.assert_allclose(found.loss[1], alone.loss[0], **CLOSE)
    np.testing.assert_allclose(found.gradients[1, :2], alone.gradients[0], **CLOSE)
    np.testing.assert_allclose(found.saliency[1, :2], alone.saliency[0], **CLOSE)
    assert not found.gradients[1, 2:].any() and not found.saliency[1, 2:].any()
    assert found.gradients.dtype == found.loss.dtype == found.saliency.dtype == np.float32


def test_padding_has_none_even_where_a_part_of_ones_own_reads_it():
    class All(nn.Module):
        def __call__(self, vectors, mask, *, deterministic):
            return jnp.broadcast_to(vectors.sum(1, keepdims=True), vectors.shape)

    model, params = put_together(contextualizer=All())
    found = gradients(model, params, segments=SEGMENTS, targets=TARGETS)
    assert not found.gradients[1, 2:].any() and not found.saliency[1, 2:].any()
    np.testing.assert_allclose(found.saliency.sum(1), 1.0, rtol=1e-6)


def test_what_is_not_read_has_none(writer):
    case = writer()
    positions = jnp.array([[1], [0]], jnp.int32)
    found = gradients(case.model, case.params, positions=positions, targets=TARGETS)
    assert not found.gradients[0, 2:].any() and not found.gradients[1, 1:].any()
    assert found.gradients[0, :2].all(-1).all()


def test_without_targets_the_loss_is_of_the_likeliest_token(writer):
    case = writer()
    found = gradients(case.model, case.params, segments=SEGMENTS)
    best = [int(np.argmax(case.logits(context))) for context in ([5, 6, 7, 8], [9, 10])]
    assert found.targets[:, 0].tolist() == best and found.positions[:, 0].tolist() == [3, 1]
    given = gradients(case.model, case.params, segments=SEGMENTS, targets=jnp.array(best)[:, None])
    np.testing.assert_allclose(found.gradients, given.gradients, **CLOSE)
    mixed = gradients(case.model, case.params, segments=SEGMENTS, targets=jnp.array([[3], [-1]]))
    assert mixed.targets[:, 0].tolist() == [3, best[1]]


def test_the_loss_is_the_mean_over_the_positions_that_are_asked():
    model, params = masked()
    both = {"positions": jnp.array([[0, 2], [1, -1]]), "targets": jnp.array([[3, 4], [99, 7]])}
    found = gradients(model, params, segments=SEGMENTS, **both)
    parts = [
        gradients(model, params, segments=SEGMENTS, positions=jnp.array(at)[:, None], targets=jnp.array(ids))
        for at, ids in (([0, 1], [[3], [99]]), ([2, 1], [[4], [99]]))
    ]
    for name in ("loss", "gradients"):
        expected = (getattr(parts[0], name) + getattr(parts[1], name)) / 2
        np.testing.assert_allclose(getattr(found, name), expected, **CLOSE)


def test_a_row_of_padding_alone_has_a_loss_and_gradients_of_zero(writer):
    case = writer()
    found = gradients(case.model, case.params, segments=SEGMENTS.at[1].set(0), targets=TARGETS)
    assert found.loss[1] == 0.0 and not found.gradients[1].any() and not found.saliency[1].any()
    assert found.positions[:, 0].tolist() == [3, -1]


def test_positions_that_are_read_off_the_tokens_are_those_of_the_tokens():
    model, params = masked(position=models.Instruction(next_id=6))
    positions = jnp.array([[0], [1]])
    found = gradients(model, params, segments=SEGMENTS, positions=positions, targets=TARGETS)
    hidden = jax.jit(model.apply)({"params": params}, models.Inputs(tokens=TOKENS, segments=SEGMENTS)).hidden
    asked = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    logits = model.apply({"params": params}, asked, method="logits")[:, 0]
    expected = [-log_softmax(row)[target] for row, target in zip(logits, TARGETS[:, 0], strict=True)]
    np.testing.assert_allclose(found.loss, expected, **CLOSE)


def test_a_model_that_computes_in_bfloat16_has_float32_gradients(writer):
    case, rounded = writer(), writer(dtype="bfloat16")
    exact = gradients(case.model, case.params, targets=TARGETS)
    found = gradients(rounded.model, case.params, targets=TARGETS)
    assert found.gradients.dtype == np.float32
    # bfloat16 keeps 8 bits: 1/256 of each of some tens of roundings on the way
    error = np.linalg.norm(found.gradients - exact.gradients) / np.linalg.norm(exact.gradients)
    assert 0 < error < 0.1


def test_it_maps_over_parameters_and_has_derivatives_of_its_own():
    model, params = put_together(contextualizer=Total())
    other = model.init_params(jax.random.key(1), TOKENS)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), params, other)

    def asked(params):
        return decoding.embedding_gradients(model, params, TOKENS, segments=SEGMENTS, targets=TARGETS)

    mapped = jax.jit(jax.vmap(asked))(stacked)
    np.testing.assert_allclose(mapped.gradients[1], jax.jit(asked)(other).gradients, **CLOSE)
    # How strong the gradients are, itself differentiated: its change along a direction
    strength = jax.jit(lambda params: (asked(params).gradients ** 2).sum())
    slope = jax.grad(strength)(params)
    step = jax.tree.map(lambda leaf: leaf * 1e-3, other)
    ahead = strength(jax.tree.map(jnp.add, params, step))
    behind = strength(jax.tree.map(jnp.subtract, params, step))
    expected = 2 * sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), slope, step)))
    # As for the finite differences of the loss
    np.testing.assert_allclose(ahead - behind, expected, rtol=2e-2)


def test_equals_transformers_gpt2():
    pytest.importorskip("transformers")
    from tests.decoding.oracle import oracle, torch

    case, targets = oracle(), [3, 11]
    tokens = np.where(SEGMENTS, TOKENS, 0)
    found = gradients(
        case.model,
        case.params,
        jnp.asarray(tokens),
        segments=SEGMENTS,
        targets=jnp.array(targets)[:, None],
    )
    table = case.theirs.transformer.wte
    for row, (ids, target) in enumerate(zip(([5, 6, 7, 8], [9, 10]), targets, strict=True)):
        vectors = table(torch.tensor([ids])).detach().requires_grad_()
        logits = case.theirs(inputs_embeds=vectors).logits[0, -1]
        loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([target]))
        loss.backward()
        gradient, vector = vectors.grad[0].numpy(), vectors.detach()[0].numpy()
        strength = np.abs((gradient * vector).sum(-1))
        length = len(ids)
        np.testing.assert_allclose(found.loss[row], loss.item(), **CLOSE)
        np.testing.assert_allclose(found.gradients[row, :length], gradient, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.saliency[row, :length], strength / strength.sum(), **CLOSE)


def test_a_masked_lm_is_told_its_masks_and_other_models_are_refused():
    model, params = masked()
    with pytest.raises(ValueError, match="got positions=None; give the masks' offsets"):
        decoding.embedding_gradients(model, params, TOKENS)
    with pytest.raises(ValueError, match="a NextTokenModel, a CausalLM or a MaskedLM: got a Returns"):
        decoding.embedding_gradients(Returns(1), {}, TOKENS)
