"""Input reduction against AllenNLP's loop in plain Python, with the gradients that `decoding` computes."""

import functools
import heapq

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, decoding
from jaxlm.errors import UsageError
from tests.attribution.random_models import TEXTS, rows
from tests.attribution.random_models import opened as opened_with

reduce = jax.jit(attribution.reduce_inputs, static_argnames=("model", "beam"))


def opened(kind):
    """A model whose predictions depend on few tokens, and on no positions."""
    return opened_with(kind, init_std=0.15, position="none")


@functools.cache
def gradients_of(kind):
    model, _ = opened(kind)
    return jax.jit(functools.partial(decoding.embedding_gradients, model))


def asked_at(kind, text):
    """The positions whose predictions stay: the last one, or the masks."""
    return [len(text) - 1] if kind == "causal" else [1, 3]


def looked_at(kind, text, kept):
    """The likeliest tokens of a text without some tokens, and the norms of the gradients of those left."""
    left = np.flatnonzero(kept)
    if kind == "causal":
        asked = [len(left) - 1]
    else:
        asked = [left.tolist().index(position) for position in asked_at(kind, text)]
    tokens, segments = np.zeros((1, 8), np.int32), np.zeros((1, 8), np.int32)
    tokens[0, : len(left)], segments[0, : len(left)] = text[left], 1
    found = gradients_of(kind)(
        opened(kind).params,
        jnp.asarray(tokens),
        segments=jnp.asarray(segments),
        positions=jnp.asarray([asked]),
    )
    norms = np.full(len(text), np.inf)
    norms[left] = np.linalg.norm(found.gradients[0, : len(left)], axis=-1)
    return np.asarray(found.targets[0]).tolist(), norms


def reduced_by_hand(kind, text, removable, beam):
    """AllenNLP's loop; the first of the last round's texts."""
    whole = np.ones(len(text), bool)
    predicted, _ = looked_at(kind, text, whole)
    candidates, best = [whole], whole
    while candidates:
        texts, candidates, is_first = heapq.nsmallest(beam, candidates, key=np.sum), [], True
        for kept in texts:
            own, norms = looked_at(kind, text, kept)
            if own != predicted:
                continue
            best, is_first = (kept if is_first else best), False
            if kept.sum() == 1:
                continue
            norms = np.where(kept & removable, norms, np.inf)
            for place in np.argsort(norms, kind="stable")[:beam]:
                if np.isfinite(norms[place]):
                    candidates.append(kept & (np.arange(len(text)) != place))
    return best, predicted


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("beam", [1, 3])
def test_a_padded_batch_is_reduced_as_each_text_is_by_hand(kind, beam):
    model, params = opened(kind)
    inputs = rows(kind).inputs
    removable = np.zeros((2, 8), bool)
    positions = np.full((2, 2), -1, np.int32)
    for row, text in enumerate(TEXTS):
        asked = asked_at(kind, text)
        positions[row, : len(asked)] = asked
        removable[row, 1 : len(text)] = True  # the first token opens the text
        if kind == "masked":
            removable[row, asked] = False
    result = reduce(model, params, inputs, jnp.asarray(positions), jnp.asarray(removable), beam=beam)
    for row, text in enumerate(TEXTS):
        kept, predicted = reduced_by_hand(kind, text, removable[row, : len(text)], beam)
        assert np.asarray(result.kept)[row, : len(text)].tolist() == kept.tolist()
        assert not np.asarray(result.kept)[row, len(text) :].any()
        assert np.asarray(result.predictions)[row, : len(predicted)].tolist() == predicted
        assert kept[0]
    assert np.asarray(result.kept).sum() < sum(map(len, TEXTS))


def test_the_encoder_s_row_is_reduced_and_a_text_keeps_one_token():
    model, params = opened("seq2seq")
    batch = rows("seq2seq")
    result = reduce(model, params, batch.inputs, batch.positions[:, :1], jnp.ones((2, 8), bool))
    kept = np.asarray(result.kept)
    assert (kept.sum(1) >= 1).all()
    for row in range(2):
        encoder = batch.inputs.encoder
        left = np.flatnonzero(kept[row])
        tokens, segments = np.zeros((1, 8), np.int32), np.zeros((1, 8), np.int32)
        tokens[0, : len(left)], segments[0, : len(left)] = np.asarray(encoder.tokens)[row, left], 1
        one = jax.tree.map(lambda array, row=row: array[row : row + 1], batch.inputs)
        shorter = one._replace(
            encoder=encoder._replace(tokens=jnp.asarray(tokens), segments=jnp.asarray(segments))
        )
        again = reduce(model, params, shorter, batch.positions[row : row + 1, :1], jnp.zeros((1, 8), bool))
        assert again.predictions[0, 0] == result.predictions[row, 0]
        np.testing.assert_allclose(again.probabilities[0], result.reduced_probabilities[row], rtol=1e-5)


def test_a_beam_of_no_text_is_refused():
    model, params = opened("causal")
    batch = rows("causal")
    with pytest.raises(UsageError, match="a beam has one text or more: got beam=0"):
        attribution.reduce_inputs(
            model, params, batch.inputs, batch.positions, jnp.ones((2, 8), bool), beam=0
        )
