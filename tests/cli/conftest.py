"""Tiny models on disk."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

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
