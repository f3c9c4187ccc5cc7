"""HotFlip against its loop in plain Python, with the gradients that `decoding` computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, decoding, models
from tests.attribution.random_models import TEXTS, opened, rows

flip = jax.jit(attribution.flip_tokens, static_argnames=("model",))
CANDIDATES = np.arange(13) >= 2


@functools.cache
def gradients_of(kind):
    model, _ = opened(kind)
    return jax.jit(functools.partial(decoding.embedding_gradients, model))


def flipped_by_hand(kind, text, asked, replaceable, targets):
    """The changed text, the rounds in which its tokens changed, and whether it worked."""
    model, params = opened(kind)
    table = np.asarray(models.apply_token_vectors(model, params, jnp.arange(13)[:, None]))[:, 0]

    def looked_at(tokens, aims):
        padded, segments = np.zeros((1, 8), np.int32), np.zeros((1, 8), np.int32)
        padded[0, : len(tokens)], segments[0, : len(tokens)] = tokens, 1
        given = (jnp.asarray(padded),), {"segments": jnp.asarray(segments), "positions": jnp.asarray([asked])}
        likeliest = gradients_of(kind)(params, *given[0], **given[1], targets=jnp.full((1, len(asked)), -1))
        found = gradients_of(kind)(params, *given[0], **given[1], targets=jnp.asarray([aims]))
        return np.asarray(likeliest.targets[0]).tolist(), np.asarray(found.gradients[0], np.float64)

    tokens, order = text.copy(), np.full(len(text), -1)
    first, _ = looked_at(tokens, [0] * len(asked))
    aims, sign = (first, -1) if targets is None else (targets, 1)
    for number in range(len(text) + 1):
        own, gradients = looked_at(tokens, aims)
        if (own != aims) if targets is None else (own == aims):
            return tokens, order, True
        norms = np.where(replaceable & (order < 0), np.square(gradients[: len(text)]).sum(-1), -1)
        place = norms.argmax()
        if norms[place] == -1:
            break
        gains = sign * (gradients[place] @ table[tokens[place]] - table @ gradients[place])
        gains[~CANDIDATES | (np.arange(13) == tokens[place])] = -np.inf
        tokens[place], order[place] = gains.argmax(), number
    return tokens, order, False


@pytest.mark.parametrize(("kind", "is_targeted"), [("causal", False), ("causal", True), ("masked", True)])
def test_a_padded_batch_is_changed_as_each_text_is_by_hand(kind, is_targeted):
    model, params = opened(kind)
    asked = [[len(text) - 1] if kind == "causal" else [2] for text in TEXTS]
    replaceable = np.zeros((2, 8), bool)
    for row, text in enumerate(TEXTS):
        replaceable[row, : len(text)] = True
        if kind == "masked":
            replaceable[row, asked[row]] = False
    targets = [[4], [7]]
    result = flip(
        model,
        params,
        rows(kind).inputs,
        jnp.asarray(asked, jnp.int32),
        jnp.asarray(replaceable),
        jnp.asarray(CANDIDATES),
        jnp.asarray(targets, jnp.int32) if is_targeted else None,
    )
    for row, text in enumerate(TEXTS):
        tokens, order, has_worked = flipped_by_hand(
            kind, text, asked[row], replaceable[row, : len(text)], targets[row] if is_targeted else None
        )
        assert np.asarray(result.tokens)[row, : len(text)].tolist() == tokens.tolist()
        assert np.asarray(result.order)[row, : len(text)].tolist() == order.tolist()
        assert bool(result.succeeded[row]) == has_worked
        assert CANDIDATES[tokens[order >= 0]].all()
        if is_targeted and has_worked:
            assert result.flipped_predictions[row].tolist() == targets[row]
    assert (np.asarray(result.order) >= 0).any()


def test_the_encoder_s_row_is_changed_and_what_is_reached_already_is_not():
    model, params = opened("seq2seq")
    batch = rows("seq2seq")
    may = jnp.ones((2, 8), bool)
    found = flip(model, params, batch.inputs, batch.positions[:, :1], may, jnp.asarray(CANDIDATES))
    assert found.tokens.shape == batch.inputs.encoder.tokens.shape
    changed = np.asarray(found.order) >= 0
    assert (np.asarray(found.tokens != batch.inputs.encoder.tokens) == changed).all()
    assert not changed[np.asarray(batch.inputs.encoder.segments) == 0].any()
    again = flip(
        model, params, batch.inputs, batch.positions[:, :1], may, jnp.asarray(CANDIDATES), found.predictions
    )
    assert bool(again.succeeded.all()) and (again.order == -1).all()
