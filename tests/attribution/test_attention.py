"""Attention weights and rollout, against products of the model's own probabilities by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models
from jaxlm.errors import UsageError
from jaxlm.models import Site
from tests.attribution.random_models import KINDS, SOURCES, TEXTS, opened, rows, scores_alone
from tests.steps.tiny_models import open_model

weights = jax.jit(attribution.attention_weights, static_argnames=("model", "layers", "heads"))
rollout = jax.jit(attribution.attention_rollout, static_argnames=("model",))
by_head = jax.jit(attribution.head_attention, static_argnames=("model",))
SITES = {
    "causal": [Site.ATTENTION_PROBS],
    "masked": [Site.ATTENTION_PROBS],
    "seq2seq": [Site.ATTENTION_PROBS, Site.CROSS_ATTENTION_PROBS, Site.ENCODER_ATTENTION_PROBS],
}


def probs_of(kind, text):
    """The probabilities `[R N L S]` of one text alone, by site."""
    model, params = opened(kind)
    inputs, _ = rows(kind).alone[text]
    values = models.apply_model(model, params, inputs, intermediates=SITES[kind]).intermediates
    return {site: np.asarray(array, np.float64)[:, 0] for site, array in values.items()}


def rolled_by_hand(kind, text):
    """Rollout as a product of matrices over the nodes of both rows."""
    probs = probs_of(kind, text)
    own = [(layer.mean(0) + np.eye(layer.shape[1])) / 2 for layer in probs[Site.ATTENTION_PROBS]]
    if kind != "seq2seq":
        return np.linalg.multi_dot(own[::-1]), None
    encoder = [(layer.mean(0) + np.eye(layer.shape[1])) / 2 for layer in probs[Site.ENCODER_ATTENTION_PROBS]]
    encoded = np.linalg.multi_dot(encoder[::-1])
    num, num_source = len(own[0]), len(encoded)
    held = np.eye(num, num + num_source)
    for layer, cross in zip(own, probs[Site.CROSS_ATTENTION_PROBS], strict=True):
        held = layer @ held
        read = np.concatenate([np.zeros((num, num)), cross.mean(0) @ encoded], axis=1)
        held = (held + read) / 2
    return held[:, :num], held[:, num:]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_rollout_of_a_padded_batch_are_those_by_hand_of_each_text(kind):
    model, params = opened(kind)
    batch = rows(kind)
    mean, rolled = (
        weights(model, params, batch.inputs, batch.positions),
        rollout(model, params, batch.inputs, batch.positions),
    )
    heads = by_head(model, params, batch.inputs, batch.positions)
    for text, (_, positions) in enumerate(batch.alone):
        asked, probs = np.asarray(positions[0]), probs_of(kind, text)
        by_hand = rolled_by_hand(kind, text)
        sides = [("target", Site.ATTENTION_PROBS, TEXTS), ("source", Site.CROSS_ATTENTION_PROBS, SOURCES)]
        for number, (side, site, texts) in enumerate(sides[: 2 if kind == "seq2seq" else 1]):
            size = len(texts[text]), len(asked)
            expected = probs[site].mean((0, 1))[asked].T
            np.testing.assert_allclose(scores_alone(getattr(mean, side), text, *size), expected, atol=1e-6)
            expected = by_hand[number][asked].T
            np.testing.assert_allclose(scores_alone(getattr(rolled, side), text, *size), expected, atol=1e-6)
            own = heads[number][:, text, :, : len(asked), : len(texts[text])]
            np.testing.assert_allclose(own, probs[site][:, :, asked], atol=1e-6)
            assert np.all(np.asarray(getattr(mean, side))[text, size[0] :] == 0)
    assert np.all(np.asarray(rolled.target)[1, :, 2] == 0)  # an unused entry


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_rollout_sums_to_1_over_both_rows(kind):
    model, params = opened(kind)
    batch = rows(kind)
    rolled = rollout(model, params, batch.inputs, batch.positions)
    total = rolled.target.sum(1) + (0.0 if rolled.source is None else rolled.source.sum(1))
    np.testing.assert_allclose(total, (batch.positions >= 0).astype(np.float32), atol=1e-6)


def test_layers_and_heads_are_chosen_and_blocks_may_be_scanned():
    model, params = opened("causal")
    batch = rows("causal")
    one = weights(model, params, batch.inputs, batch.positions, layers=-1, heads=(0,)).target
    heads = by_head(model, params, batch.inputs, batch.positions).weights
    np.testing.assert_allclose(one, heads[1, :, 0].swapaxes(1, 2), atol=1e-6)
    scanned = opened("causal", scan_layers=True).model
    again = weights(
        scanned, models.stack_blocks(params), batch.inputs, batch.positions, layers=-1, heads=(0,)
    )
    np.testing.assert_allclose(again.target, one, atol=1e-6)


def test_a_layer_that_is_not_there_is_told():
    model, params = opened("causal")
    with pytest.raises(UsageError, match="layers of this model are 0 to 1: got 2"):
        attribution.attention_weights(model, params, rows("causal").inputs, jnp.array([[1], [1]]), layers=2)


@pytest.mark.parametrize("method", ["attention", "attention_rollout", "value_zeroing"])
def test_the_door_gives_them_by_name(method):
    (found,) = attribution.attribute(open_model("causal"), ["To be"], method=method)
    assert found.scores.shape == (5, 4) and not found.is_signed and found.values is None
    sums = np.nansum(found.scores, axis=0)
    # Zeroing the only value that a position reads may leave its direction as it is.
    np.testing.assert_allclose(sums[1:], 1.0, atol=1e-5)
    assert np.isnan(found.scores[np.tril_indices(4, -1)]).all() and np.isnan(found.scores[4]).all()


def test_settings_take_one_number_or_several():
    (one,), (several,) = (
        attribution.attribute(
            open_model("causal"), ["To be"], method="attention", settings=attribution.AttentionWeights(**how)
        )
        for how in ({"layers": -1, "heads": 0}, {"layers": (-1,), "heads": (0,)})
    )
    np.testing.assert_array_equal(one.scores, several.scores)
    assert one.settings["layers"] == (-1,)
    with pytest.raises(UsageError, match=r"layers are whole numbers, one or several: got .True,."):
        attribution.ValueZeroing(layers=(True,))
