"""Small causal models, made and compiled once, with weights large enough for a token to depend on others."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained, tokenizers

TOKENIZER = tokenizers.bytes_tokenizer()
SMALL = models.TransformerConfig(
    vocab_size=TOKENIZER.vocab_size,
    width=16,
    depth=1,
    num_heads=4,
    mlp_width=32,
    max_length=48,
    causal=True,
    init_std=0.4,
)


class Writer(NamedTuple):
    config: models.TransformerConfig
    model: Any
    params: dict
    logits: Any  # of a context, the slow way: float64 logits of the next token from a forward of all of it


@functools.cache
def make_writer(**options) -> Writer:
    config = dataclasses.replace(SMALL, **options)
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(3), jnp.zeros((1, 4), jnp.int32))["params"]

    @jax.jit
    def all_logits(tokens):
        hidden = model.apply({"params": params}, tokens).hidden
        return model.apply({"params": params}, hidden, method="logits")

    def logits(context):
        """A causal model does not see the filler behind the context: one length, one program."""
        filled = np.zeros((1, 32), np.int32)
        filled[0, : len(context)] = context
        return np.asarray(all_logits(filled), np.float64)[0, len(context) - 1]

    return Writer(config, model, params, logits)


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def loaded_from(model, params, tokenizer, objective=None):
    """What `pretrained.load` would return; nothing is known of how it was trained."""
    if objective is None:
        objective = "seq2seq_lm" if isinstance(model, models.Seq2SeqLM) else "causal_lm"
    return pretrained.Loaded(model.config, objective, model, params, tokenizer, {})


@pytest.fixture(scope="session")
def tokenizer():
    return TOKENIZER


@pytest.fixture(scope="session")
def writer():
    return make_writer
