"""Encoder-decoders: who reads whom across the two sides, packing, padding, cache, scan, remat, types."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import errors, models
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
    def logits(variables, inputs):
        hidden = model.apply(variables, inputs).hidden
        return model.apply(variables, hidden, method="logits")

    return jax.jit(logits)


@pytest.fixture(scope="module", params=SCHEMES)
def case(request):
    config, model, variables = made(request.param)
    return config, model, variables, functools.partial(compiled(model), variables)


@pytest.fixture(scope="module")
def alone(case):
    """Logits of each pair of texts by itself."""
    pairs = zip(READ, WRITTEN, strict=True)
    return [np.asarray(case[3](both(jnp.array([read]), jnp.array([written]))))[0] for read, written in pairs]


def both(read, written, read_segments=None, written_segments=None):
    source = models.Inputs(tokens=read, segments=read_segments)
    return models.Inputs(tokens=written, segments=written_segments, encoder=source)


def packed(filler=0):
    """Both pairs in one row on each side, with padding between and after them, in another order of places."""
    tokens = jnp.array([[*READ[0], filler, *READ[1], filler]])
    segments = jnp.array([[1] * 4 + [0] + [2] * 5 + [0]])
    written = jnp.array([[*WRITTEN[0], *WRITTEN[1], filler, filler]])
    return both(tokens, written, segments, jnp.array([[1] * 3 + [2] * 4 + [0] * 2]))


@pytest.mark.parametrize("filler", [0, 9])
def test_packed_equals_separate_whatever_the_padding_holds(case, alone, filler):
    found = np.asarray(case[3](packed(filler)))[0]
    np.testing.assert_allclose(found[:3], alone[0], **TOLERANCE)
    np.testing.assert_allclose(found[3:7], alone[1], **TOLERANCE)


def test_every_token_reaches_whom_it_may_and_nobody_else(case):
    """Row s of the batch has one token changed; a decoder's place sees its own text's past and its source."""
    given = packed()
    length, width = given.encoder.length, given.length
    count = 1 + length + width
    rows = jax.tree.map(lambda array: np.repeat(np.asarray(array), count, axis=0), given)
    for place in range(length):
        rows.encoder.tokens[1 + place, place] = 10
    for place in range(width):
        rows.tokens[1 + length + place, place] = 10
    logits = np.asarray(case[3](rows))
    difference = np.abs(logits[1:] - logits[:1]).max(-1)
    read, written = (np.asarray(side.segments)[0] for side in (given.encoder, given))
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
    whole = logits(both(tokens, written, segments, np.ones_like(written)))

    @jax.jit
    def start(tokens, segments):
        return model.apply(variables, models.Inputs(tokens=tokens, segments=segments), method="encode").hidden

    @jax.jit
    def step(tokens, cache, place, **memory):
        inputs = models.Inputs(
            tokens=tokens,
            positions=jnp.full((2, 1), place),
            attention_mask=jnp.broadcast_to(jnp.arange(6) <= place, (2, 1, 1, 6)),
            **memory,
        )
        output = model.apply(variables, inputs, cache=cache, slots=jnp.full((2, 1), place))
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
            hidden = model.apply(variables, given).hidden
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
        inputs = models.Inputs(
            tokens=token,
            positions=place[None, None],
            attention_mask=(jnp.arange(3) <= place)[None, None, None],
            **memory,
        )
        output = required.apply(variables, inputs, cache=cache, slots=place[None, None])
        return output.hidden, output.cache

    cache = models.empty_cache(models.decoder_config(config), 1, 3)
    first, cache = decode(written[:, :1], cache, jnp.int32(0), memory=memory)
    second, cache = decode(written[:, 1:], cache, jnp.int32(1))
    whole = jax.jit(model.apply)(variables, models.Inputs(tokens=written, memory=memory)).hidden
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, **TOLERANCE)
    assert cache.memory.layers.key.shape == (2, 1, 2, 4, 4)


def test_bfloat16_is_close_to_float32(case):
    config, _, variables, logits = case
    model = models.build(dataclasses.replace(config, dtype="bfloat16"), "seq2seq_lm")
    exact, found = logits(packed()), compiled(model)(variables, packed())
    assert found.dtype == jnp.float32
    # bfloat16 keeps 8 bits: each of a dozen roundings is 0.4 %
    assert np.abs(found - exact)[:, :7].max() < 0.05 * np.abs(exact).max()


def test_a_row_of_padding_is_finite_in_both_directions(case):
    model, variables = case[1:3]
    zeros = jnp.zeros((1, 3), jnp.int32)
    given = both(zeros, zeros, zeros, zeros)

    def loss(variables):
        return jnp.square(model.apply(variables, given).hidden).mean()

    with jax.debug_nans(True):
        gradient = jax.jit(jax.grad(loss))(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_a_memory_is_what_the_encoder_makes():
    _, model, variables = made("relative")
    source = packed().encoder
    memory = jax.jit(functools.partial(model.apply, method="encode"))(variables, source).hidden
    halves = packed()._replace(encoder=None, memory=memory, memory_segments=source.segments)
    apply_fn = jax.jit(model.apply)
    found, whole = (apply_fn(variables, inputs).hidden for inputs in (halves, packed()))
    np.testing.assert_allclose(found, whole, **TOLERANCE)


def test_vectors_in_place_of_tokens(case):
    _, model, variables, logits = case
    given = packed()

    def of_vectors(side):
        vectors = model.apply(variables, side.tokens, method="token_vectors")
        return side._replace(tokens=None, embeddings=vectors)

    found = logits(of_vectors(given)._replace(encoder=of_vectors(given.encoder)))
    np.testing.assert_allclose(found, logits(given), **TOLERANCE)


def test_refusals():
    _, model, variables = made("sinusoidal")
    one = jnp.zeros((1, 1), jnp.int32)
    with pytest.raises(ValueError, match=r"got causal=True, cross_attention=False; leave them out"):
        models.build(models.TransformerConfig(vocab_size=7, causal=True), "seq2seq_lm")
    with pytest.raises(ValueError, match="no instruction positions"):
        made("sinusoidal", token_types=2)
    with pytest.raises(ValueError, match=r"got decoder=None; set decoder=DecoderConfig\(\)"):
        models.build(models.TransformerConfig(vocab_size=7), "seq2seq_lm")
    memory = jnp.zeros((1, 1, 16))
    for inputs, message in [
        (both(one, one, one), "got them of the encoder alone"),
        (both(one, one, None, one), "got them of the decoder alone"),
        (both(one, None), "reads tokens or embeddings: got neither"),
        (one, "reads one memory, given once: got none"),
        (both(jnp.zeros((1, 17), jnp.int32), one), "got rows of 17 tokens"),
        (both(one, one)._replace(memory=memory), "an encoder's text or its memory: got both"),
        (models.Inputs(tokens=one, segments=one, memory=memory), "got no memory_segments"),
    ]:
        with pytest.raises(errors.UsageError, match=message):
            model.apply(variables, inputs)
    with pytest.raises(errors.UsageError, match="reads no memory"):
        models.Transformer(SMALL).init(jax.random.key(0), models.Inputs(tokens=one, memory=memory))
    with pytest.raises(errors.UsageError, match="has no encoder"):
        models.Transformer(SMALL).init(jax.random.key(0), both(one, one))
    with pytest.raises(ValueError, match="is a third"):
        models.TransformerConfig(cross_attention=True, parallel_residual=True)
