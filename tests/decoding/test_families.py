"""Reading through the cache is the full forward for every causal family, with its switches on."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from jaxlm.decoding._cached_rows import read_prompts, read_token
from jaxlm.pretrained._families import family_of
from tests.models.conftest import drawn

transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 13,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 8}
FULL_AND_LOCAL = ["sliding_attention", "full_attention"]
FAMILIES = {
    "GPT2": {"vocab_size": 13, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32},
    "GPTNeoX": {**SIZES, "rotary_pct": 0.5},
    "Llama": GROUPED,
    "Mistral": {**GROUPED, "sliding_window": 4},
    "Qwen2": {name: value for name, value in GROUPED.items() if name != "head_dim"},
    "Qwen3": GROUPED,
    "Gemma2": {**GROUPED, "sliding_window": 3, "layer_types": FULL_AND_LOCAL, "query_pre_attn_scalar": 6},
    "Gemma3Text": {**GROUPED, "sliding_window": 3, "layer_types": FULL_AND_LOCAL},
}
TOKENS = np.array([[1, 2, 5, 3, 4, 5, 6, 7, 9], [8, 9, 10, 5, 1, 3, 2, 4, 12]], np.int32)
LENGTHS = np.array([5, 3], np.int32)
NUM_SLOTS = 12


def family_config(name: str, options: dict) -> models.TransformerConfig:
    theirs = getattr(transformers, f"{name}Config")(**options)
    kind = {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(name, f"{name}ForCausalLM")
    values = json.loads(theirs.to_json_string(use_diff=False)) | {"architectures": [kind]}
    return family_of(values).config(values)


@pytest.mark.parametrize("name", FAMILIES)
def test_cache_decoding_is_the_full_forward(name):
    config = family_config(name, FAMILIES[name])
    model = models.build(config, "causal_lm")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
    params = jax.tree_util.tree_map_with_path(drawn, shapes)["params"]

    @jax.jit
    def full(tokens):
        hidden = model.apply({"params": params}, tokens).hidden
        return model.apply({"params": params}, hidden, method="logits")

    prefill = jax.jit(lambda tokens, lengths: read_prompts(model, params, tokens, lengths, NUM_SLOTS))
    step = jax.jit(lambda reading, tokens: read_token(model, params, reading, tokens, jnp.ones(2, bool)))
    wanted, rows = np.asarray(full(TOKENS)), np.arange(2)
    logits, reading = prefill(jnp.asarray(TOKENS[:, :5]), jnp.asarray(LENGTHS))
    found = [logits]
    for place in range(4):
        logits, reading = step(reading, jnp.asarray(TOKENS[rows, LENGTHS + place]))
        found.append(logits)
    for place, logits in enumerate(found):
        # Float32 sums in another order; relative to the largest logit, which families scale as they like
        scale = max(1.0, np.abs(wanted).max())
        right = wanted[rows, LENGTHS - 1 + place]
        np.testing.assert_allclose(logits / scale, right / scale, rtol=0, atol=1e-5)
