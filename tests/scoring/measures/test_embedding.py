"""Vectors of texts against the hidden states of one text alone, by pooling, layer and kind of model."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import data, models, pretrained, scoring, tokenizers

# Float32 sums in two orders.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
TOKENIZER = tokenizers.bytes_tokenizer()
SPECIALS = TOKENIZER.specials
CLS, SEP = tokenizers.text_frame(TOKENIZER, "training")
TRAINED = {"experiment": {"data": {"ends": True}}}
LONGEST = 16
CONFIG = scoring.EngineConfig(row_length=LONGEST, rows=2, devices=(jax.devices()[0],))
TEXTS = ["a low", "slow low x", "b"]


def built(kind, head=None, **options):
    size = {"width": 8, "depth": 2, "num_heads": 2, "max_length": LONGEST, "init_std": 0.4}
    config = models.TransformerConfig(vocab_size=TOKENIZER.vocab_size, **size, **options)
    model = models.build(config, kind, head)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    return pretrained.Loaded(config, kind, model, params, TOKENIZER, TRAINED, head)


LOADED = {
    "masked_lm": lambda: built("masked_lm"),
    "causal_lm": lambda: built("causal_lm", causal=True),
    "body": lambda: built("body"),
    "regression": lambda: built("regression", models.HeadConfig(num_outputs=1)),
    "seq2seq_lm": lambda: built("seq2seq_lm", decoder=models.DecoderConfig(depth=1)),
}


@pytest.fixture(scope="module")
def of_kind():
    """Models by kind, made once."""
    return functools.cache(lambda kind: LOADED[kind]())


def framed(loaded, text):
    ids = TOKENIZER.encode(text)
    around = (CLS, SEP) if not loaded.kind.encoder else tokenizers.text_frame(TOKENIZER, "text")
    return np.concatenate([around[0], ids, around[1]]).astype(np.int32), len(around[0]), len(ids)


@functools.partial(jax.jit, static_argnames=("model", "encoder"))
def layers_of(model, params, tokens, segments, encoder):
    sites = [models.Site(("encoder_" if encoder else "") + name) for name in ("embeddings", "residual")]
    inputs, method = models.Inputs(tokens=tokens, segments=segments), {"method": "encode"} if encoder else {}
    output = model.apply({"params": params}, inputs, intermediates=sites, **method)
    return jnp.concatenate([*(output.intermediates[site] for site in sites), output.hidden[None]])[:, 0]


def hidden_of(loaded, tokens, layer=-1):
    """The hidden states of one sequence by themselves, `[n D]`."""
    row, segments = np.zeros((2, 1, LONGEST), np.int32)
    row[0, : len(tokens)], segments[0, : len(tokens)] = tokens, 1
    found = np.asarray(layers_of(loaded.model, loaded.params, row, segments, loaded.kind.encoder))
    # The residual stream behind the last block is before the final norm: the last layer is behind it.
    return np.delete(found, -2, axis=0)[layer, : len(tokens)]


ENGINES = {}


def vectors(loaded, texts, **options):
    """Vectors, or the errors; what the devices compute is compiled once for each forward."""
    scorer = scoring.make_scorer(loaded, scoring.Embedding(**options), CONFIG)
    key = id(loaded.params), str(scorer.engine._forward)
    scorer.engine = ENGINES.setdefault(key, scorer.engine)
    rows = list(scorer([data.Record(str(number), text, {}) for number, text in enumerate(texts)]))
    return [row.get("error", row.get("vector", row.get("token_vectors"))) for row in rows]


@pytest.mark.parametrize("kind", LOADED)
def test_the_mean_is_over_the_tokens_of_a_text_alone(of_kind, kind):
    loaded = of_kind(kind)
    for text, vector in zip(TEXTS, vectors(loaded, TEXTS), strict=True):
        tokens, first, size = framed(loaded, text)
        np.testing.assert_allclose(vector, hidden_of(loaded, tokens)[first : first + size].mean(0), **CLOSE)
        assert vector.dtype == np.float32 and vector.shape == (8,)


POOLED = {
    "first": lambda hidden, text: hidden[0],
    "last": lambda hidden, text: hidden[-1],
    "max": lambda hidden, text: hidden[text].max(0),
    "none": lambda hidden, text: hidden[text],
}


@pytest.mark.parametrize("pool", POOLED)
def test_other_poolings(of_kind, pool):
    loaded = of_kind("masked_lm")
    for text, vector in zip(TEXTS, vectors(loaded, TEXTS, pool=pool), strict=True):
        tokens, first, size = framed(loaded, text)
        expected = POOLED[pool](hidden_of(loaded, tokens), slice(first, first + size))
        np.testing.assert_allclose(vector, expected, **CLOSE)


@pytest.mark.parametrize(("kind", "layer"), [("causal_lm", 1), ("causal_lm", 0), ("seq2seq_lm", -2)])
def test_layers_are_counted_as_in_transformers(of_kind, kind, layer):
    loaded = of_kind(kind)
    (vector,) = vectors(loaded, TEXTS[:1], layer=layer)
    tokens, first, size = framed(loaded, TEXTS[0])
    np.testing.assert_allclose(
        vector, hidden_of(loaded, tokens, layer)[first : first + size].mean(0), **CLOSE
    )


def test_specials_count_if_asked_for(of_kind):
    loaded = of_kind("masked_lm")
    name = TOKENIZER.token(SPECIALS.mask)
    text = f"a{name}b"
    tokens, first, _ = framed(loaded, text)
    hidden = hidden_of(loaded, tokens)
    plain, whole = (vectors(loaded, [text], specials=specials)[0] for specials in (None, True))
    assert tokens[first + 1] == SPECIALS.mask
    np.testing.assert_allclose(plain, hidden[[first, first + 2]].mean(0), **CLOSE)
    np.testing.assert_allclose(whole, hidden.mean(0), **CLOSE)
    assert "all tokens are specials" in vectors(loaded, [name])[0]


def windows_of(loaded, text):
    """The hidden states of each token of a long text, from the window that it counts in; and all windows."""
    ids, room = TOKENIZER.encode(text), LONGEST - 2
    found, read = [], []
    for first in range(0, len(ids), room):
        start = min(first, len(ids) - room)
        hidden = hidden_of(loaded, [*CLS, *ids[start : start + room], *SEP])
        read.append(hidden)
        found.append(hidden[1:-1][first - start :])
    return np.concatenate(found), read


def test_long_texts_are_read_in_windows_in_which_each_token_counts_once(of_kind):
    loaded, text = of_kind("masked_lm"), "a low slow " * 4
    tokens, read = windows_of(loaded, text)
    assert len(tokens) == len(text) and len(read) == 4
    expected = {"mean": tokens.mean(0), "max": tokens.max(0), "none": tokens}
    expected |= {"first": read[0][0], "last": read[-1][-1]}
    for pool, vector in expected.items():
        np.testing.assert_allclose(vectors(loaded, [text], pool=pool)[0], vector, **CLOSE)
    cut = vectors(loaded, [text], long="cut")[0]
    np.testing.assert_allclose(cut, read[0][1:-1].mean(0), **CLOSE)
    assert "reads at most 14 of a text" in vectors(loaded, [text], long="error")[0]
    (small,) = vectors(loaded, [text[:8]], window=6)
    halves = [hidden_of(loaded, framed(loaded, text[at : at + 4])[0])[1:-1] for at in (0, 4)]
    np.testing.assert_allclose(small, np.concatenate(halves).mean(0), **CLOSE)


def test_vectors_are_divided_by_their_length(of_kind):
    loaded = of_kind("body")
    plain, unit = (vectors(loaded, TEXTS[:1], normalize=normalize)[0] for normalize in (False, True))
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain), **CLOSE)
    tokens = vectors(loaded, TEXTS[:1], normalize=True, pool="none")[0]
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=-1), 1.0, rtol=1e-6)


def test_a_prompt_and_white_space(of_kind):
    loaded = of_kind("body")
    plain, *others = (
        vectors(loaded, [text], **options)[0]
        for text, options in (
            ("q: low", {}),
            ("low", {"prompt": "q: "}),
            (" q: low ", {"strip": True}),
            ("Q: LOW", {"lower": True}),
        )
    )
    for other in others:
        np.testing.assert_array_equal(other, plain)


def test_a_sentence_transformers_folder_says_what_is_not_asked_for(of_kind):
    loaded = of_kind("body")
    settings = {"pool": "first", "normalize": True, "specials": True, "long": "cut", "window": 8}
    told = loaded._replace(extra={**TRAINED, pretrained.SENTENCE_SETTINGS: settings})
    scorer = scoring.make_scorer(told, scoring.Embedding(), CONFIG)
    measure = scorer.measure
    assert (measure.pool, measure.normalize, measure.long, measure.window) == ("first", True, "cut", 8)
    asked = scoring.make_scorer(told, scoring.Embedding(pool="mean", normalize=False), CONFIG).measure
    assert (asked.pool, asked.normalize, asked.specials) == ("mean", False, True)
    refused = told._replace(extra={**TRAINED, pretrained.SENTENCE_SETTINGS: {"refused": "a Dense module"}})
    with pytest.raises(scoring.ScoreError, match="a Dense module"):
        scoring.make_scorer(refused, scoring.Embedding(), CONFIG)
    assert scoring.make_scorer(refused, scoring.Embedding(pool="max"), CONFIG).measure.pool == "max"


def test_what_is_refused(of_kind):
    loaded = of_kind("masked_lm")
    assert vectors(loaded, [""])[0] == "no tokens: the text is empty"
    for options, message in (
        ({"layer": 3}, "layer: expected -3 to 2"),
        ({"window": 17}, "reads up to 16: got 17"),
        ({"window": 2}, "2 tokens stand around a text"),
    ):
        with pytest.raises(scoring.ScoreError, match=message):
            vectors(loaded, ["a"], **options)
    joint = models.ModelKind(name="two", make=lambda config, head: None, head="several")
    with pytest.raises(scoring.ScoreError, match="open it with one of its heads"):
        scoring.make_scorer(loaded._replace(kind=joint), "embedding", CONFIG)
    ensemble = dataclasses.replace(CONFIG, combine="probs")
    stacked = loaded._replace(params=jax.tree.map(lambda leaf: leaf[None], loaded.params), members=1)
    with pytest.raises(scoring.ScoreError, match="an ensemble's members have no common axes"):
        list(scoring.score(stacked, ["a"], "embedding", ensemble))


def test_vectors_that_are_no_numbers_are_an_error(of_kind):
    loaded = of_kind("body")
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), loaded.params)
    assert (
        vectors(loaded._replace(params=broken), ["a"])[0]
        == "the model's hidden vectors are not finite numbers"
    )
