"""Encoder-decoders: who reads whom across the two sides, packing, padding, cache, scan, remat, types."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from tests.models.conftest import SMALL, drawn

SCHEMES = {
    "relative": {
        "position": models.Relative(buckets=8, distance=6),
        "norm": "rms",
        "activation": "geglu",
        "attention_scale": 1.0,
        "use_bias": False,
        "num_kv_heads": 2,
        "head": "linear",
        "head_bias": False,
        "output_scale": 0.25,
    },
    "sinusoidal": {
        "position": "sinusoidal",
        "norm_placement": "post",
        "head": "linear",
        "activation": "silu",
    },
    "rotary": {"position": "rotary", "norm_placement": "sandwich", "window": 3, "layer_pattern": "fw"},
}
READ, WRITTEN = ([1, 2, 5, 3], [4, 5, 6, 7, 8]), ([0, 9, 3], [0, 2, 7, 1])
# Sums of at most 64 terms of order one, in another order
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@functools.cache
def made(name: str, **options: Any):
    fields = {"decoder": models.DecoderConfig(depth=1), **SCHEMES[name], **options}
    config = dataclasses.replace(SMALL, **fields)
    model = models.build(config, "seq2seq_lm")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
    return config, model, jax.tree_util.tree_map_with_path(drawn, shapes)


@functools.cache
def compiled(model):
    def logits(variables, tokens=None, **arrays):
        hidden = model.apply(variables, tokens, **arrays).hidden
        return model.apply(variables, hidden, method="logits")

    return jax.jit(logits)


@pytest.fixture(scope="module", params=SCHEMES)
def case(request):
    config, model, variables = made(request.param)
    return config, model, variables, functools.partial(compiled(model), variables)


@pytest.fixture(scope="module")
def alone(case):
    """Logits of each pair of texts by itself."""
    return [
        np.asarray(case[3](jnp.array([read]), decoder_tokens=jnp.array([written])))[0]
        for read, written in zip(READ, WRITTEN, strict=True)
    ]


def packed(filler=0):
    """Both pairs in one row on each side, with padding between and after them, in another order of places."""
    tokens = jnp.array([[*READ[0], filler, *READ[1], filler]])
    segments = jnp.array([[1] * 4 + [0] + [2] * 5 + [0]])
    written = jnp.array([[*WRITTEN[0], *WRITTEN[1], filler, filler]])
    return {
        "tokens": tokens,
        "segments": segments,
        "decoder_tokens": written,
        "decoder_segments": jnp.array([[1] * 3 + [2] * 4 + [0] * 2]),
    }


@pytest.mark.parametrize("filler", [0, 9])
def test_packed_equals_separate_whatever_the_padding_holds(case, alone, filler):
    found = np.asarray(case[3](**packed(filler)))[0]
    np.testing.assert_allclose(found[:3], alone[0], **TOLERANCE)
    np.testing.assert_allclose(found[3:7], alone[1], **TOLERANCE)


def test_every_token_reaches_whom_it_may_and_nobody_else(case):
    """Row s of the batch has one token changed; a decoder's place sees its own text's past and its source."""
    given = packed()
    length, width = given["tokens"].shape[1], given["decoder_tokens"].shape[1]
    count = 1 + length + width
    rows = {name: np.repeat(np.asarray(array), count, axis=0) for name, array in given.items()}
    for place in range(length):
        rows["tokens"][1 + place, place] = 10
    for place in range(width):
        rows["decoder_tokens"][1 + length + place, place] = 10
    logits = np.asarray(case[3](**rows))
    difference = np.abs(logits[1:] - logits[:1]).max(-1)
    read, written = (np.asarray(given[name])[0] for name in ("segments", "decoder_segments"))
    from_source = (read[:, None] == written[None]) & (read[:, None] > 0)
    places = np.arange(width)
    from_past = (written[:, None] == written[None]) & (written[:, None] > 0) & (places[:, None] <= places)
    reach = np.concatenate([from_source, from_past | np.eye(width, dtype=bool)])
    assert difference[~reach].max() < 1e-5
    assert difference[reach].min() > 1e-4


def test_reading_through_a_cache_is_the_full_forward(case):
    config, model, variables, logits = case
    rows = [np.array([[*text, *[0] * (5 - len(text))]], np.int32) for text in READ]
    tokens, segments = np.concatenate(rows), np.array([[1] * 4 + [0], [1] * 5], np.int32)
    written = np.array([[0, 9, 3, 8], [0, 2, 7, 1]], np.int32)
    whole = logits(tokens, segments=segments, decoder_tokens=written, decoder_segments=np.ones_like(written))

    @jax.jit
    def start(tokens, segments):
        return model.apply(variables, tokens, segments=segments, method="encode").hidden

    @jax.jit
    def step(tokens, cache, place, **memory):
        output = model.apply(
            variables,
            tokens,
            cache=cache,
            positions=jnp.full((2, 1), place),
            slots=jnp.full((2, 1), place),
            attention_mask=jnp.broadcast_to(jnp.arange(6) <= place, (2, 1, 1, 6)),
            method="decode",
            **memory,
        )
        return model.apply(variables, output.hidden, method="logits"), output.cache

    cache, memory = models.empty_cache(models.decoder_config(config), 2, 6), {}
    memory = {"memory": start(tokens, segments), "memory_segments": jnp.asarray(segments)}
    for place in range(4):
        found, cache = step(jnp.asarray(written[:, place : place + 1]), cache, jnp.int32(place), **memory)
        np.testing.assert_allclose(found[:, 0], whole[:, place], **TOLERANCE)
        memory = {}  # what a block makes of it stands in the cache
    assert cache.memory.layers[0].key.shape == (2, config.resolved().num_kv_heads, 5, 4)


@pytest.mark.parametrize("options", [{"scan_layers": True}, {"remat": True}], ids=str)
def test_scan_and_remat_compute_the_same(options):
    _, model, variables = made("relative", decoder=models.DecoderConfig(depth=2))
    config, other, _ = made("relative", decoder=models.DecoderConfig(depth=2), **options)
    given = packed()

    def gradient(model, variables):
        def loss(variables):
            hidden = model.apply(variables, **given).hidden
            return jnp.square(model.apply(variables, hidden, method="logits")).mean()

        return jax.jit(jax.value_and_grad(loss))(variables)

    value, expected = gradient(model, variables)
    params = models.stack_blocks(variables["params"]) if config.scan_layers else variables["params"]
    other_value, found = gradient(other, {"params": params})
    found = models.unstack_blocks(found["params"]) if config.scan_layers else found["params"]
    np.testing.assert_allclose(other_value, value, rtol=1e-6)
    assert jax.tree.structure(found) == jax.tree.structure(expected["params"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), found, expected["params"])


def test_a_scanned_decoder_keeps_its_memory_too():
    """Two tokens through the cache, the second without the memory, are the full forward; nothing is fused."""
    config, _, variables = made("relative", scan_layers=True, decoder=models.DecoderConfig(depth=2))
    required = models.build(dataclasses.replace(config, require_fused=True), "seq2seq_lm")
    model = models.build(config, "seq2seq_lm")
    memory = jax.random.normal(jax.random.key(0), (1, 4, config.width))
    written = jnp.array([[3, 7]])

    @jax.jit
    def decode(token, cache, place, **memory):
        output = required.apply(
            variables,
            token,
            cache=cache,
            positions=place[None, None],
            slots=place[None, None],
            attention_mask=(jnp.arange(3) <= place)[None, None, None],
            method="decode",
            **memory,
        )
        return output.hidden, output.cache

    cache = models.empty_cache(models.decoder_config(config), 1, 3)
    first, cache = decode(written[:, :1], cache, jnp.int32(0), memory=memory)
    second, cache = decode(written[:, 1:], cache, jnp.int32(1))
    whole = jax.jit(lambda tokens: model.apply(variables, tokens, memory=memory, method="decode").hidden)(
        written
    )
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, **TOLERANCE)
    assert cache.memory.layers.key.shape == (2, 1, 2, 4, 4)


def test_bfloat16_is_close_to_float32(case):
    config, _, variables, logits = case
    model = models.build(dataclasses.replace(config, dtype="bfloat16"), "seq2seq_lm")
    exact, found = logits(**packed()), compiled(model)(variables, **packed())
    assert found.dtype == jnp.float32
    # bfloat16 keeps 8 bits: each of a dozen roundings is 0.4 %
    assert np.abs(found - exact)[:, :7].max() < 0.05 * np.abs(exact).max()


def test_a_row_of_padding_is_finite_in_both_directions(case):
    model, variables = case[1:3]
    zeros = jnp.zeros((1, 3), jnp.int32)
    given = {"tokens": zeros, "segments": zeros, "decoder_tokens": zeros, "decoder_segments": zeros}

    def loss(variables):
        return jnp.square(model.apply(variables, **given).hidden).mean()

    with jax.debug_nans(True):
        gradient = jax.jit(jax.grad(loss))(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_intermediates_are_of_both_sides():
    _, model, variables = made("relative")
    output = jax.jit(functools.partial(model.apply, intermediates=True))(variables, **packed())
    found = output.intermediates
    assert found["encoder.block_01.attention.probs"].shape == (1, 4, 11, 11)
    assert found["decoder.block_00.attention.probs"].shape == (1, 4, 9, 9)
    cross = np.asarray(found["decoder.block_00.cross_attention.probs"])
    assert cross.shape == (1, 4, 9, 11)
    np.testing.assert_allclose(cross[0, :, :7].sum(-1), 1.0, rtol=1e-5)
    assert (cross[0, :, :3, 4:] == 0).all() and (cross[0, :, 7:] == 0).all()
    decoded = model.apply(
        variables,
        packed()["decoder_tokens"],
        memory=found["encoder.hidden"],
        memory_segments=packed()["segments"],
        segments=packed()["decoder_segments"],
        method="decode",
    )
    np.testing.assert_allclose(decoded.hidden, output.hidden, **TOLERANCE)


def test_vectors_in_place_of_tokens(case):
    _, model, variables, logits = case
    given = packed()
    vectors = {
        "embeddings": model.apply(variables, given["tokens"], method="token_vectors"),
        "decoder_embeddings": model.apply(variables, given["decoder_tokens"], method="token_vectors"),
    }
    segments = {name: given[name] for name in ("segments", "decoder_segments")}
    np.testing.assert_allclose(logits(**vectors, **segments), logits(**given), **TOLERANCE)


def test_refusals():
    _, model, variables = made("sinusoidal")
    one = jnp.zeros((1, 1), jnp.int32)
    with pytest.raises(ValueError, match=r"got causal=True, cross_attention=False; leave them out"):
        models.build(models.TransformerConfig(vocab_size=7, causal=True), "seq2seq_lm")
    with pytest.raises(ValueError, match="no instruction positions"):
        models.build(
            models.TransformerConfig(vocab_size=7, token_types=2, decoder=models.DecoderConfig()),
            "seq2seq_lm",
        )
    with pytest.raises(ValueError, match=r"got decoder=None; set decoder=DecoderConfig\(\)"):
        models.build(models.TransformerConfig(vocab_size=7), "seq2seq_lm")
    with pytest.raises(ValueError, match="got them of the encoder alone"):
        model.apply(variables, one, decoder_tokens=one, segments=one)
    with pytest.raises(ValueError, match="a decoder reads tokens or embeddings: got neither"):
        model.apply(variables, one)
    with pytest.raises(ValueError, match="reads one memory, given once: got none"):
        model.apply(variables, one, method="decode")
    with pytest.raises(ValueError, match="got rows of 17 tokens"):
        model.apply(variables, jnp.zeros((1, 17), jnp.int32), decoder_tokens=one)
    with pytest.raises(ValueError, match="reads no memory"):
        models.Transformer(SMALL).init(jax.random.key(0), one, memory=jnp.zeros((1, 1, 16)))
    with pytest.raises(ValueError, match="is a third"):
        models.TransformerConfig(cross_attention=True, parallel_residual=True)
