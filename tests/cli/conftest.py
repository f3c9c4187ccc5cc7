"""Tiny models on disk."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
import tokenizers as hf

from jaxlm import models, pretrained, tokenizers

CONFIG = models.TransformerConfig(
    vocab_size=260, width=16, depth=1, num_heads=2, max_length=32, causal=True, init_std=0.4
)


@pytest.fixture(scope="package")
def causal_folder(tmp_path_factory):
    """A causal model, and beside it a masked one."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = tokenizers.bytes_tokenizer()
    for name, config in (("causal_lm", CONFIG), ("masked_lm", models.TransformerConfig(vocab_size=260))):
        model = models.build(config, name)
        params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
        pretrained.save_model(place / name, config, params, tokenizer, kind=name)
    return place


@pytest.fixture(scope="package")
def gpt2_folder(tmp_path_factory):
    """A causal model that transformers has a class for."""
    config = dataclasses.replace(CONFIG, activation="gelu_tanh", head="linear", head_bias=False)
    model, folder = models.build(config, "causal_lm"), tmp_path_factory.mktemp("models") / "gpt2"
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    pretrained.save_model(folder, config, params, tokenizers.bytes_tokenizer(), kind="causal_lm")
    return folder


def saved_causal(folder, backend):
    """Writes a causal model with a tokenizer, and returns its folder."""
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    config = dataclasses.replace(CONFIG, vocab_size=tokenizer.vocab_size)
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    pretrained.save_model(folder, config, params, tokenizer, kind="causal_lm")
    return folder


@pytest.fixture(scope="package")
def pieces_folder(tmp_path_factory):
    """A causal model with word pieces, whose bytes are not known."""
    backend = hf.Tokenizer(hf.models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    return saved_causal(tmp_path_factory.mktemp("models") / "pieces", backend)


@pytest.fixture(scope="package")
def letters_folder(tmp_path_factory):
    """A causal model whose tokens are "a", "b" and "ab", and one that ends texts."""
    backend = hf.Tokenizer(hf.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    backend.add_special_tokens(["<|endoftext|>"])
    return saved_causal(tmp_path_factory.mktemp("models") / "letters", backend)
