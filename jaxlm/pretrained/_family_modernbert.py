"""ModernBERT."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import ACTIVATIONS, GATED_ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute, raise_unsupported
from jaxlm.pretrained._family import Family, Fields
from jaxlm.pretrained._family_gemma import read_two_ropes, write_two_ropes
from jaxlm.pretrained._rope import NAMES, check_head_width
from jaxlm.pretrained._sequence_heads import (
    SequenceHeadTable,
    read_modernbert_head,
    write_modernbert_head,
)
from jaxlm.pretrained._windows import FULL, SLIDING, layer_types, pattern_of

MODERNBERT_LAYER = "model.layers.{layer}"


def read_modernbert(values: Mapping[str, Any]) -> Fields:
    """Returns windows and rotary positions; `local_attention` counts both sides of a token.

    Raises:
      UnsupportedError: one line that names what is not supported.
    """
    if values.get("rope_scaling"):
        raise_unsupported(["rope_scaling of all blocks, those with a window among them"])
    check_head_width(values, values.get("hidden_size", 768) // values.get("num_attention_heads", 12))
    types, every = values.get("layer_types"), values.get("global_attn_every_n_layers", 3)
    if types is None:
        depth = values.get("num_hidden_layers", 22)
        types = [SLIDING if layer % every else FULL for layer in range(depth)]
    pattern = pattern_of(types)
    # `sliding_window` is half of it, and wins if a file has both.
    half = values.get("sliding_window")
    half = values.get("local_attention", 128) // 2 if half is None else int(half)
    windows = {"window": half + 1, "layer_pattern": pattern}
    return {
        **read_two_ropes(values, "global_rope_theta", 160000.0, "local_rope_theta"),
        **({} if pattern == "f" else windows),
    }


def write_modernbert(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for these; undoes `read_modernbert`."""
    window = {} if config.window is None else {"local_attention": 2 * (config.window - 1)}
    return {**write_two_ropes(config), **window, "layer_types": layer_types(config)}


MODERNBERT = Family(
    name="modernbert",
    architecture="ModernBertForMaskedLM",
    body_architecture="ModernBertModel",
    kind=models.MASKED_LM,
    constants={
        "position.kind": "rotary",
        "embedding_norm": True,
        "first_norm": False,
        "head.kind": "transform",
    },
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 50368),
        Attribute("hidden_size", ("width",), 768),
        Attribute("intermediate_size", ("mlp_width",), 1152),
        Attribute("num_hidden_layers", ("depth",), 22),
        Attribute("num_attention_heads", ("num_heads",), 12),
        Attribute("hidden_activation", ("activation",), "gelu", GATED_ACTIVATIONS),
        Attribute("max_position_embeddings", ("max_length",), 8192),
        Attribute("initializer_range", ("init_std",), 0.02),
        Attribute("norm_eps", ("norm_epsilon",), 1e-5),
        Attribute("norm_bias", ("norm_bias",), False),
        Attribute("attention_bias", ("qkv_bias", "attention_bias"), False),
        Attribute("mlp_bias", ("mlp_bias",), False),
        Attribute("classifier_bias", ("use_bias",), False),
        Attribute("classifier_activation", ("head.activation",), "gelu", ACTIVATIONS),
        Attribute("decoder_bias", ("head_bias",), True),
        Attribute("embedding_dropout", ("embedding_dropout",), 0.0),
        Attribute("attention_dropout", ("attention_dropout", "attention_output_dropout"), 0.0),
        Attribute("mlp_dropout", ("mlp_dropout",), 0.0),
        Attribute("tie_word_embeddings", ("tie_embeddings",), True),
    ),
    inert=frozenset(
        {
            "classifier_pooling",
            "deterministic_flash_attn",
            "initializer_cutoff_factor",
            "layer_norm_eps",  # beside `norm_eps`, which is what is computed
            "position_embedding_type",
            "reference_compile",
            "repad_logits_with_grad",
            "sparse_pred_ignore_index",
            "sparse_prediction",
        }
    ),
    read=read_modernbert,
    write=write_modernbert,
    read_names=NAMES
    | {
        "global_attn_every_n_layers",
        "head_dim",
        "global_rope_theta",
        "layer_types",
        "local_attention",
        "local_rope_theta",
        "sliding_window",
    },
    tensors={
        "body.embeddings.token": "model.embeddings.tok_embeddings",
        "body.embeddings.norm": "model.embeddings.norm",
        "body.block.attention_norm": f"{MODERNBERT_LAYER}.attn_norm",
        "body.block.attention.qkv": f"{MODERNBERT_LAYER}.attn.Wqkv",
        "body.block.attention.output": f"{MODERNBERT_LAYER}.attn.Wo",
        "body.block.mlp_norm": f"{MODERNBERT_LAYER}.mlp_norm",
        "body.block.mlp.up": f"{MODERNBERT_LAYER}.mlp.Wi",
        "body.block.mlp.down": f"{MODERNBERT_LAYER}.mlp.Wo",
        "body.final_norm": "model.final_norm",
        "head.transform": "head.dense",
        "head.norm": "head.norm",
        "head.decode": "decoder",
    },
    prefix="model.",
    head=("head.", "decoder."),
    tied={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    sequences=SequenceHeadTable(
        "ModernBertForSequenceClassification",
        {"head.layer_0": "head.dense", "head.layer_norm_0": "head.norm", "head.output": "classifier"},
        ("head.", "classifier."),
        read_modernbert_head,
        write_modernbert_head,
    ),
)
