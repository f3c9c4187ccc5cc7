"""What the sites of a network show: shapes, sums, attention by hand, and the same unrolled and scanned."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import errors, models
from jaxlm.models._sites import as_sites
from tests.models.conftest import SMALL, drawn

Site = models.Site
TOKENS = jnp.array([[1, 2, 5, 3, 4, 7], [8, 9, 10, 5, 1, 0]])
SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 0]])
INPUTS = models.Inputs(tokens=TOKENS, segments=SEGMENTS)
OF_DECODER = tuple(site for site in Site if site.startswith("cross_"))
OF_ENCODER = tuple(site for site in Site if site.startswith("encoder_"))
OWN = tuple(site for site in Site if site not in (*OF_DECODER, *OF_ENCODER))
# Sums of at most 64 terms of order one, in another order
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@functools.cache
def compiled(model):
    """All sites of a model that is one stack of blocks."""
    return jax.jit(functools.partial(model.apply, intermediates=OWN))


def shown(case):
    return compiled(case.model)(case.variables, INPUTS)


def test_shapes(small):
    values = shown(small(causal=True, position="rotary", num_kv_heads=2)).intermediates
    stream, keys = (2, 2, 6, 16), (2, 2, 6, 2, 4)
    assert {site: array.shape for site, array in values.items()} == {
        Site.EMBEDDINGS: (1, 2, 6, 16),
        Site.BLOCK_INPUT: stream,
        Site.QUERIES: (2, 2, 6, 4, 4),
        Site.KEYS: keys,
        Site.VALUES: keys,
        Site.ATTENTION_PROBS: (2, 2, 4, 6, 6),
        Site.ATTENTION_OUTPUT: stream,
        Site.FEED_FORWARD_OUTPUT: stream,
        Site.RESIDUAL: stream,
    }


def test_a_scan_shows_the_same(small):
    case = small(causal=True, position="rotary", num_kv_heads=2)
    expected = shown(case)
    model = models.build(dataclasses.replace(case.config, scan_layers=True), "causal_lm")
    variables = {"params": models.stack_blocks(case.variables["params"])}
    found = jax.jit(functools.partial(model.apply, intermediates=OWN))(variables, INPUTS)
    assert set(found.intermediates) == set(OWN)
    for site in OWN:
        np.testing.assert_allclose(found.intermediates[site], expected.intermediates[site], **TOLERANCE)


SUMS = {
    "pre": {"position": "learned"},
    "sandwich": {"norm_placement": "sandwich", "embedding_norm": True},
    "parallel": {"position": "rotary", "parallel_residual": True},
}


@pytest.mark.parametrize("name", SUMS)
def test_the_stream_is_the_sum_of_what_is_added_to_it(small, name):
    output = shown(small(**SUMS[name]))
    values = output.intermediates
    added = values[Site.ATTENTION_OUTPUT] + values[Site.FEED_FORWARD_OUTPUT]
    np.testing.assert_allclose(values[Site.RESIDUAL], values[Site.BLOCK_INPUT] + added, **TOLERANCE)
    np.testing.assert_array_equal(values[Site.BLOCK_INPUT][1:], values[Site.RESIDUAL][:-1])
    np.testing.assert_array_equal(values[Site.BLOCK_INPUT][:1], values[Site.EMBEDDINGS])
    plain = jax.jit(small(**SUMS[name]).model.apply)(small(**SUMS[name]).variables, INPUTS)
    assert plain.intermediates == {}
    np.testing.assert_allclose(plain.hidden, output.hidden, **TOLERANCE)


def test_attention_by_hand(small):
    """Probabilities of queries and keys, outputs of probabilities and values, in float64."""
    case = small(causal=True, position="rotary", num_kv_heads=2)
    values = {site: np.asarray(array, np.float64) for site, array in shown(case).intermediates.items()}
    segments = np.asarray(SEGMENTS)
    may = (segments[:, :, None] == segments[:, None]) & (segments > 0)[:, None] & np.tri(6, dtype=bool)
    for layer in range(2):
        keys, heads = (np.repeat(values[site][layer], 2, axis=2) for site in (Site.KEYS, Site.VALUES))
        scores = np.einsum("BLNH,BSNH->BNLS", values[Site.QUERIES][layer], keys) / 2.0
        weights = np.where(may[:, None], np.exp(scores), 0.0)
        total = weights.sum(-1, keepdims=True)
        probs = weights / np.where(total == 0.0, 1.0, total)
        np.testing.assert_allclose(values[Site.ATTENTION_PROBS][layer], probs, **TOLERANCE)
        read = np.einsum("BNLS,BSNH->BLNH", probs, heads).reshape(2, 6, 16)
        output = case.variables["params"]["body"][f"block_0{layer}"]["attention"]["output"]
        expected = read @ np.asarray(output["kernel"]).T + np.asarray(output["bias"])
        np.testing.assert_allclose(values[Site.ATTENTION_OUTPUT][layer], expected, **TOLERANCE)


@functools.cache
def two_sided():
    decoder = models.DecoderConfig(depth=1)
    config = dataclasses.replace(SMALL, position="relative", norm="rms", num_kv_heads=2, decoder=decoder)
    model = models.build(config, "seq2seq_lm")
    shapes = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    return model, jax.tree_util.tree_map_with_path(drawn, shapes)


def test_both_sides_of_an_encoder_decoder():
    model, variables = two_sided()
    written = jnp.array([[0, 4, 5], [0, 7, 0]])
    inputs = models.Inputs(tokens=written, encoder=models.Inputs(tokens=TOKENS))
    output = jax.jit(functools.partial(model.apply, intermediates=tuple(Site)))(variables, inputs)
    values = output.intermediates
    assert set(values) == set(Site)
    assert values[Site.ENCODER_ATTENTION_PROBS].shape == (2, 2, 4, 6, 6)
    assert values[Site.ENCODER_EMBEDDINGS].shape == (1, 2, 6, 16)
    assert values[Site.RESIDUAL].shape == (1, 2, 3, 16)
    assert values[Site.CROSS_KEYS].shape == values[Site.CROSS_VALUES].shape == (1, 2, 6, 2, 4)
    queries, keys = (np.asarray(values[site][0]) for site in (Site.CROSS_QUERIES, Site.CROSS_KEYS))
    scores = np.einsum("BLNH,BSNH->BNLS", queries, np.repeat(keys, 2, axis=2)) / 2.0
    probs = jax.nn.softmax(jnp.asarray(scores))
    np.testing.assert_allclose(values[Site.CROSS_ATTENTION_PROBS][0], probs, **TOLERANCE)
    sites = (Site.BLOCK_INPUT, Site.ATTENTION_OUTPUT, Site.CROSS_ATTENTION_OUTPUT, Site.FEED_FORWARD_OUTPUT)
    np.testing.assert_allclose(values[Site.RESIDUAL], sum(values[site] for site in sites), **TOLERANCE)
    encode = functools.partial(model.apply, intermediates=OF_ENCODER, method="encode")
    alone = jax.jit(encode)(variables, TOKENS).intermediates
    assert set(alone) == set(OF_ENCODER)
    np.testing.assert_allclose(alone[Site.ENCODER_RESIDUAL], values[Site.ENCODER_RESIDUAL], **TOLERANCE)


def test_refusals(small):
    case = small()
    for wanted in (Site.CROSS_KEYS, Site.ENCODER_KEYS):
        with pytest.raises(errors.UsageError, match=f"site {wanted} is not one of this model's"):
            case.model.apply(case.variables, TOKENS, intermediates=(wanted,))
    for wrong, message in [
        (("hidden",), r"a site is one of models.Site: got 'hidden'"),
        (Site.RESIDUAL, r"such as \(models.Site.RESIDUAL,\)"),
        (True, "got True alone"),
    ]:
        with pytest.raises(errors.UsageError, match=message):
            as_sites(wrong)
    model, variables = two_sided()
    with pytest.raises(errors.UsageError, match="encode runs the encoder alone: got site residual"):
        model.apply(variables, TOKENS, intermediates=(Site.RESIDUAL,), method="encode")
    halves = models.Inputs(tokens=TOKENS, memory=jnp.zeros((2, 3, 16)))
    with pytest.raises(errors.UsageError, match=r"encoder_residual is not .* the half of it that runs"):
        model.apply(variables, halves, intermediates=(Site.ENCODER_RESIDUAL,))
