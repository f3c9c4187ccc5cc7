"""GPT-NeoX, and Pythia with it."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, Fields, SourceModules
from jaxlm.pretrained._rope import (
    NAMES,
    check_head_width,
    given_rope_parameters,
    rope_fields,
    rope_parameters,
)


def read_neox(values: Mapping[str, Any]) -> Fields:
    """Returns the rotary positions; older files have other names for their share and base."""
    head_width = values.get("hidden_size", 6144) // values.get("num_attention_heads", 64)
    check_head_width(values, head_width)
    older = {
        "rope_theta": values.get("rotary_emb_base", 10000.0),
        "partial_rotary_factor": values.get("rotary_pct", 0.25),
    }
    return rope_fields({**older, **given_rope_parameters(values)}, values)


def write_neox(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for rotary positions, with the share, whose default is a quarter."""
    if not isinstance(config.position, models.Rotary):
        return {}
    return {"rope_parameters": {**rope_parameters(config), "partial_rotary_factor": config.position.share}}


NEOX = Family(
    name="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    body_architecture="GPTNeoXModel",
    kind=models.CAUSAL_LM,
    constants={"causal": True, "position.kind": "rotary", "head.kind": "linear", "head_bias": False},
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 50432),
        Attribute("hidden_size", ("width",), 6144),
        Attribute("num_hidden_layers", ("depth",), 44),
        Attribute("num_attention_heads", ("num_heads",), 64),
        Attribute("intermediate_size", ("mlp_width",), 24576),
        Attribute("hidden_act", ("activation",), "gelu", ACTIVATIONS),
        Attribute("attention_dropout", ("attention_dropout",), 0.0),
        Attribute("hidden_dropout", ("embedding_dropout", "attention_output_dropout", "mlp_dropout"), 0.0),
        Attribute("max_position_embeddings", ("max_length",), 2048),
        Attribute("initializer_range", ("init_std",), 0.02),
        Attribute("layer_norm_eps", ("norm_epsilon",), 1e-5),
        Attribute("tie_word_embeddings", ("tie_embeddings",), False),
        Attribute("use_parallel_residual", ("parallel_residual",), True),
        Attribute("attention_bias", ("qkv_bias", "attention_bias"), True),
    ),
    inert=frozenset({"is_decoder"}),
    read=read_neox,
    write=write_neox,
    read_names=NAMES | {"head_dim", "rotary_pct", "rotary_emb_base"},
    tensors={
        "body.embeddings.token": "gpt_neox.embed_in",
        "body.block.attention_norm": "gpt_neox.layers.{layer}.input_layernorm",
        "body.block.attention.qkv": SourceModules(
            ("gpt_neox.layers.{layer}.attention.query_key_value",), "interleaved"
        ),
        "body.block.attention.output": "gpt_neox.layers.{layer}.attention.dense",
        "body.block.mlp_norm": "gpt_neox.layers.{layer}.post_attention_layernorm",
        "body.block.mlp.up": "gpt_neox.layers.{layer}.mlp.dense_h_to_4h",
        "body.block.mlp.down": "gpt_neox.layers.{layer}.mlp.dense_4h_to_h",
        "body.final_norm": "gpt_neox.final_layer_norm",
        "head.decode": "embed_out",
    },
    prefix="gpt_neox.",
    head=("embed_out.",),
    aliases=((r"^lm_head\.", "embed_out."),),
    unused=(r"gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",),
    tied={"embed_out.weight": "gpt_neox.embed_in.weight"},
)
