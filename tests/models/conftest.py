"""Small models, made and compiled once; parameters large enough that an influence shows in float32."""

import dataclasses
import functools
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models

SMALL = models.TransformerConfig(vocab_size=11, width=16, depth=2, num_heads=4, mlp_width=32, max_length=16)
INSTRUCTION = models.Instruction(next_id=5)


def dynamic_turns(length: int | None = None) -> models.Rotary:
    """Half of each head's features turn, slower in texts that are longer than a length."""
    return models.Rotary(share=0.5, scaling=models.DynamicScaling(factor=2.0, length=length))


# Schemes of which several files ask the same; each adds its own fields.
SHARED = {
    "mixed": {
        "causal": True,
        "position": models.Rotary(window_base=50.0),
        "window": 3,
        "layer_pattern": "wf",
        "qk_norm": True,
        "norm": "rms",
        "norm_offset": True,
        "norm_placement": "sandwich",
        "attention_softcap": 2.0,
        "logit_softcap": 3.0,
        "activation": "geglu_tanh",
    },
    "parallel": {
        "position": dynamic_turns(),
        "head_width": 8,
        "parallel_residual": True,
        "attention_scale_by_layer": True,
        "token_types": 2,
    },
}


class Small(NamedTuple):
    config: models.TransformerConfig
    model: Any
    variables: dict
    logits: Any  # jitted: (variables, tokens, **arrays) -> float32 logits of every position


def drawn(path, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Noise of the parameter's own; biases and scales away from 0 and 1 too, or none could see their use."""
    kind = path[-1].key
    noise = np.random.default_rng(zlib.crc32(jax.tree_util.keystr(path).encode())).normal(size=leaf.shape)
    start, deviation = {"scale": (1.0, 0.1), "bias": (0.0, 0.1)}.get(kind, (0.0, 0.3))
    return jnp.asarray(start + deviation * noise, leaf.dtype)


@functools.cache
def make_small(shared: str | None = None, **options) -> Small:
    config = dataclasses.replace(SMALL, **(SHARED[shared] if shared else {}) | options)
    model = models.build(config, "causal_lm" if config.causal else "masked_lm")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
    variables = jax.tree_util.tree_map_with_path(drawn, shapes)

    def logits(variables, tokens=None, **arrays):
        hidden = model.apply(variables, models.Inputs(tokens=tokens, **arrays)).hidden
        return model.apply(variables, hidden, method="logits")

    return Small(config, model, variables, jax.jit(logits))


@pytest.fixture(scope="session")
def small():
    return make_small
