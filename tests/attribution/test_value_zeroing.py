"""Value zeroing against whole runs in which one value is zeroed and the layer's output compared by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models
from jaxlm.errors import UsageError
from jaxlm.models import Intervention, Site
from tests.attribution.random_models import KINDS, SOURCES, TEXTS, opened, rows

zeroing = jax.jit(attribution.layer_value_zeroing, static_argnames=("model", "layers", "distance", "chunk"))


def by_hand(kind, text, layer, site, distance):
    """The scores `[tokens M]` of one text alone, from runs of the whole model."""
    model, params = opened(kind)
    inputs, positions = rows(kind).alone[text]
    run = jax.jit(
        lambda mask: models.apply_model(
            model,
            params,
            inputs,
            intermediates=(Site.RESIDUAL,),
            interventions=(Intervention(site=site, layer=layer, value=jnp.zeros(()), mask=mask),),
        )
    )
    num_tokens = len((TEXTS if site == Site.VALUES else SOURCES)[text])

    def output(mask):
        result = run(mask)
        hidden = result.hidden if layer == 1 else result.intermediates[Site.RESIDUAL][layer]
        return np.asarray(hidden, np.float64)[0][np.asarray(positions[0])]

    clean = output(jnp.zeros((1, num_tokens), bool))
    scores = np.zeros((num_tokens, positions.shape[1]))
    for token in range(num_tokens):
        changed = output((jnp.arange(num_tokens) == token)[None])
        if distance == "cosine":
            norms = np.linalg.norm(clean, axis=-1) * np.linalg.norm(changed, axis=-1)
            scores[token] = 1 - (clean * changed).sum(-1) / norms
        else:
            scores[token] = np.linalg.norm(clean - changed, axis=-1)
    scores[scores < 1e-5] = 0
    total = scores.sum(0)
    return scores / np.where(total == 0, 1, total)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_scores_of_a_padded_batch_are_those_by_hand_of_each_text(kind, distance):
    model, params = opened(kind)
    batch = rows(kind)
    result = zeroing(model, params, batch.inputs, batch.positions, distance=distance, chunk=3)
    sides = [(result.scores, Site.VALUES, TEXTS), (result.source_scores, Site.CROSS_VALUES, SOURCES)]
    for scores, site, texts in sides[: 2 if kind == "seq2seq" else 1]:
        for text, (_, positions) in enumerate(batch.alone):
            for layer in range(2):
                expected = by_hand(kind, text, layer, site, distance)
                ours = np.asarray(scores)[layer, text, : len(texts[text]), : positions.shape[1]]
                # Differences of nearly equal vectors, as float32 has them.
                np.testing.assert_allclose(ours, expected, atol=1e-5)
                assert np.all(np.asarray(scores)[layer, text, len(texts[text]) :] == 0)
    assert np.all(np.asarray(result.scores)[:, 1, :, 2] == 0)


def test_scanned_blocks_and_chosen_layers_give_the_same():
    model, params = opened("causal")
    batch = rows("causal")
    one = zeroing(model, params, batch.inputs, batch.positions, layers=1).scores
    both = zeroing(model, params, batch.inputs, batch.positions).scores
    np.testing.assert_allclose(one[0], both[1], atol=1e-6)
    scanned = opened("causal", scan_layers=True).model
    again = zeroing(scanned, models.stack_blocks(params), batch.inputs, batch.positions).scores
    np.testing.assert_allclose(again, both, atol=1e-6)
    counts = attribution.Counts(jnp.int32(1), jnp.int32(6))
    mean = jax.jit(attribution.value_zeroing, static_argnums=0)(
        model, params, batch.inputs, batch.positions, counts=counts
    ).target
    np.testing.assert_allclose(mean, both.mean(0), atol=1e-6)


def test_an_unknown_distance_is_told():
    model, params = opened("causal")
    with pytest.raises(UsageError, match="distance is one of cosine, euclidean: got 'dot'"):
        attribution.value_zeroing(
            model, params, rows("causal").inputs, rows("causal").positions, distance="dot"
        )
