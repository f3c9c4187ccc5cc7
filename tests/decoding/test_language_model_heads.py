"""Each head by name against hand computations and transformers' own modules, tied or not."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from tests.decoding.own_parts import Words

VOCAB, WIDTH = 11, 6
VECTORS = np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32)
# Float32 sums in another order, of logits of order one
CLOSE = {"rtol": 0, "atol": 1e-5}


def noisy(params, seed=1):
    """Parameters far from where they start, so that no bias is 0 and no scale is 1."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32), params)


def made(name, **options):
    head = decoding.language_model_head(name, vocab_size=VOCAB, width=WIDTH, **options)
    return head, noisy(head.init(jax.random.key(0), jnp.asarray(VECTORS))["params"])


def by_hand(name, params, vectors):
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    vectors = np.asarray(vectors, np.float64)
    if name == "bert":
        vectors = vectors @ exact["transform"]["kernel"].T + exact["transform"]["bias"]
        vectors = np.vectorize(lambda value: value * 0.5 * (1.0 + math.erf(value / math.sqrt(2.0))))(vectors)
        centred = vectors - vectors.mean(-1, keepdims=True)
        vectors = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        vectors = vectors * exact["norm"]["scale"] + exact["norm"]["bias"]
    logits = vectors @ exact["decode"]["kernel"].T
    return logits if name == "gpt2" else logits + exact["decode"]["bias"]


@pytest.mark.parametrize("name", ["gpt2", "bert", "linear"])
def test_each_is_what_it_says_on_any_leading_axes(name):
    head, params = made(name)
    expected = by_hand(name, params, VECTORS)
    apply = jax.jit(lambda vectors: head.apply({"params": params}, vectors))
    np.testing.assert_allclose(apply(jnp.asarray(VECTORS)), expected, **CLOSE)
    np.testing.assert_allclose(apply(jnp.asarray(VECTORS)[None, :, None])[0, :, 0], expected, **CLOSE)


def test_a_soft_cap_is_the_heads_own():
    config = models.TransformerConfig(
        vocab_size=VOCAB, width=WIDTH, num_heads=1, tie_embeddings=False, head="linear", logit_softcap=0.5
    )
    head = models.TokenHead(config)
    params = noisy(head.init(jax.random.key(0), jnp.asarray(VECTORS))["params"])
    found = head.apply({"params": params}, jnp.asarray(VECTORS))
    np.testing.assert_allclose(found, 0.5 * np.tanh(by_hand("linear", params, VECTORS) / 0.5), **CLOSE)


def test_gpt2_has_no_bias_and_the_published_sizes_are_the_defaults():
    shapes = {}
    for name in ("gpt2", "bert"):
        head = decoding.language_model_head(name)
        made = jax.eval_shape(head.init, jax.random.key(0), jnp.zeros((1, 768)))["params"]
        shapes[name] = jax.tree.map(jnp.shape, made)
    assert shapes["gpt2"] == {"decode": {"kernel": (50257, 768)}}
    assert shapes["bert"]["decode"] == {"kernel": (30522, 768), "bias": (30522,)}
    assert shapes["bert"]["transform"] == {"kernel": (768, 768), "bias": (768,)}


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_they_are_transformers_own_heads(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    head, params = made(name)
    if name == "gpt2":
        config = transformers.GPT2Config(vocab_size=VOCAB, n_embd=WIDTH, n_layer=1, n_head=1)
        theirs = transformers.GPT2LMHeadModel(config).lm_head
        tensors = {"weight": params["decode"]["kernel"]}
    else:
        from transformers.models.bert.modeling_bert import BertLMPredictionHead

        size = {"hidden_size": WIDTH, "num_attention_heads": 1, "num_hidden_layers": 1}
        theirs = BertLMPredictionHead(transformers.BertConfig(vocab_size=VOCAB, **size))
        tensors = {
            "transform.dense.weight": params["transform"]["kernel"],
            "transform.dense.bias": params["transform"]["bias"],
            "transform.LayerNorm.weight": params["norm"]["scale"],
            "transform.LayerNorm.bias": params["norm"]["bias"],
            "decoder.weight": params["decode"]["kernel"],
            "decoder.bias": params["decode"]["bias"],
            "bias": params["decode"]["bias"],
        }
    tensors = {name: torch.tensor(np.asarray(leaf)) for name, leaf in tensors.items()}
    state = theirs.state_dict()
    assert set(state) <= set(tensors)
    theirs.load_state_dict({name: tensors[name] for name in state})
    with torch.no_grad():
        expected = theirs(torch.tensor(VECTORS)).numpy()
    np.testing.assert_allclose(head.apply({"params": params}, jnp.asarray(VECTORS)), expected, **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "bert", "linear"])
def test_a_tied_head_has_the_embedders_table_as_its_kernel_and_no_copy(name):
    embedder = Words(VOCAB, WIDTH)
    head = decoding.language_model_head(name, vocab_size=VOCAB, width=WIDTH, table_owner=embedder)
    model = decoding.NextTokenModel(text_field_embedder=embedder, language_model_head=head, top_k=VOCAB)
    tokens = jnp.array([[1, 2, 3]])
    params = noisy({"language_model_head": {}, **model.init_params(jax.random.key(0), tokens)})
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.shape == (VOCAB, WIDTH)]
    assert len(kernels) == 1
    table = params["text_field_embedder"]["table"]
    decode = {**params["language_model_head"].get("decode", {}), "kernel": table}
    logits = by_hand(name, {**params["language_model_head"], "decode": decode}, np.tanh(table[3])[None])[0]
    found = model.apply({"params": params}, tokens)
    assert found.tokens[0].tolist() == np.argsort(-logits).tolist()
    expected = np.sort(np.exp(logits - logits.max()))[::-1] / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(found.probs[0], expected, **CLOSE)
    # Both uses of the table are in its gradient: rows that were read, and rows that were predicted
    gradient = jax.grad(lambda params: model.apply({"params": params}, tokens, targets=jnp.array([5])).loss)(
        params
    )["text_field_embedder"]["table"]
    assert np.all(np.abs(gradient).sum(1) > 0)


def test_the_parameters_are_those_of_a_language_models_head():
    config = models.TransformerConfig(
        vocab_size=VOCAB,
        width=WIDTH,
        depth=1,
        num_heads=1,
        activation="gelu",
        head=models.TransformHead(epsilon=1e-12),
    )
    tokens = jnp.array([[1, 2, 3]])
    model = models.MaskedLM(config)
    params = noisy(model.init(jax.random.key(0), tokens)["params"])
    embedder = models.Transformer(config)
    head = decoding.language_model_head("bert", vocab_size=VOCAB, width=WIDTH, table_owner=embedder)
    put_together = decoding.NextTokenModel(text_field_embedder=embedder, language_model_head=head)
    both = {"text_field_embedder": params["body"], "language_model_head": params["head"]}
    asked = {"segments": jnp.ones_like(tokens), "positions": jnp.array([[0, 2]]), "method": "logits"}
    found = put_together.apply({"params": both}, tokens, **asked)
    hidden = model.apply({"params": params}, tokens).hidden[:, jnp.array([0, 2])]
    np.testing.assert_allclose(found, model.apply({"params": params}, hidden, method="logits"), **CLOSE)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("bort", "; did you mean 'bert'[?]"), ("gpt-2", "; did you mean 'gpt2'[?]"), ("xyz", "")],
)
def test_an_unknown_name_is_told_with_the_nearest(name, hint):
    message = f"language_model_head is one of gpt2, bert, linear: got '{name}'{hint}$"
    with pytest.raises(ValueError, match=message):
        decoding.language_model_head(name)


def test_a_linear_head_is_told_its_sizes():
    with pytest.raises(ValueError, match="'linear' has no published size: got no vocab_size and no width"):
        decoding.language_model_head("linear")
    with pytest.raises(ValueError, match=r"'linear' has no published size: got no width$"):
        decoding.language_model_head("linear", vocab_size=5)


def test_a_table_of_another_shape_or_none_is_told():
    vectors = jnp.zeros((1, WIDTH))
    head = decoding.language_model_head("gpt2", vocab_size=9, width=WIDTH, table_owner=Words(VOCAB, WIDTH))
    with pytest.raises(ValueError, match=r"a tied head of \[V, D\] = \(9, 6\) has the .*: got \(11, 6\)"):
        head.init(jax.random.key(0), vectors)
    alone = models.TokenHead(models.TransformerConfig(vocab_size=9, width=WIDTH, num_heads=1))
    with pytest.raises(ValueError, match="got table_owner=None; give the module that holds it, or set tie"):
        alone.init(jax.random.key(0), vectors)
