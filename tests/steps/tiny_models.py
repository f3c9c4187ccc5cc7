"""Tiny random models of each kind, with dropout, whose texts are bytes."""

import jax
import jax.numpy as jnp

from jaxlm import models, pretrained, tokenizers

SIZE = {"width": 16, "depth": 1, "num_heads": 2, "max_length": 64, "vocab_size": 260}
DROPOUT = {"embedding_dropout": 0.1, "attention_dropout": 0.1, "mlp_dropout": 0.1}
OBJECTIVES = {"causal": "causal_lm", "masked": "masked_lm", "seq2seq": "seq2seq_lm"}


def open_model(kind, seed=0, tokenizer="bytes", **changes):
    """A model with random parameters; large ones, so that its distributions are far from even."""
    special = {
        "causal": {"causal": True},
        "masked": {},
        "seq2seq": {"decoder": models.DecoderConfig(start_id=0)},
    }[kind]
    config = models.TransformerConfig(**{**SIZE, **DROPOUT, **special, "init_std": 0.3, **changes})
    model = models.build(config, OBJECTIVES[kind])
    params = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 2), jnp.int32))["params"]
    tokenizer = tokenizers.bytes_tokenizer() if tokenizer == "bytes" else tokenizer
    return pretrained.Loaded(config, OBJECTIVES[kind], model, params, tokenizer, {})
