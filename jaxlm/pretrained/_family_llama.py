"""Llama, and the decoders that vary it: Mistral, Qwen2, Qwen3."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import GATED_ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, Fields, SourceModules
from jaxlm.pretrained._rope import NAMES, read_rope, write_rope
from jaxlm.pretrained._sequence_heads import last_token_table
from jaxlm.pretrained._windows import layer_types, pattern_of, read_late_window, write_late_window

LLAMA_DECODER = {
    "causal": True,
    "position.kind": "rotary",
    "norm": "rms",
    "use_bias": False,
    "head.kind": "linear",
    "head_bias": False,
}
ROTARY_AND_WINDOW = NAMES | {"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"}
LLAMA_LAYER = "model.layers.{layer}"
PROJECTIONS = tuple(f"{LLAMA_LAYER}.self_attn.{role}_proj" for role in "qkv")
LLAMA_TENSORS: dict[str, str | SourceModules] = {
    "body.embeddings.token": "model.embed_tokens",
    "body.block.attention_norm": f"{LLAMA_LAYER}.input_layernorm",
    "body.block.attention.qkv": SourceModules(PROJECTIONS),
    "body.block.attention.output": f"{LLAMA_LAYER}.self_attn.o_proj",
    "body.block.mlp_norm": f"{LLAMA_LAYER}.post_attention_layernorm",
    "body.block.mlp.up": SourceModules((f"{LLAMA_LAYER}.mlp.gate_proj", f"{LLAMA_LAYER}.mlp.up_proj")),
    "body.block.mlp.down": f"{LLAMA_LAYER}.mlp.down_proj",
    "body.final_norm": "model.norm",
    "head.decode": "lm_head",
}
HEAD_NORMS = {
    "body.block.attention.query_norm": f"{LLAMA_LAYER}.self_attn.q_norm",
    "body.block.attention.key_norm": f"{LLAMA_LAYER}.self_attn.k_norm",
}
LLAMA_FILES = {
    "prefix": "model.",
    "head": ("lm_head.",),
    "unused": (r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq", r"model\.rotary_emb\.inv_freq"),
    "tied": {"lm_head.weight": "model.embed_tokens.weight"},
}


def sizes(
    vocab_size: int,
    width: int,
    mlp_width: int,
    depth: int,
    num_heads: int,
    num_kv_heads: int | None,
    head_width: int | None,
    max_length: int,
    *,
    tied: bool = False,
    activation: Attribute | None = None,
) -> tuple[Attribute, ...]:
    """Returns the attributes that Llama and its variants share, with a family's defaults.

    Args:
      vocab_size: V.
      width: D.
      mlp_width: F.
      depth: number of blocks.
      num_heads: N.
      num_kv_heads: K; None: N.
      head_width: H; None: D / N.
      max_length: the context.
      tied: whether the output's kernel is the token embedding.
      activation: the attribute of the activation; None: SiLU with a gate.
    """
    return (
        Attribute("vocab_size", ("vocab_size",), vocab_size),
        Attribute("hidden_size", ("width",), width),
        Attribute("intermediate_size", ("mlp_width",), mlp_width),
        Attribute("num_hidden_layers", ("depth",), depth),
        Attribute("num_attention_heads", ("num_heads",), num_heads),
        Attribute("num_key_value_heads", ("num_kv_heads",), num_kv_heads),
        Attribute("head_dim", ("head_width",), head_width),
        Attribute("max_position_embeddings", ("max_length",), max_length),
        activation or Attribute("hidden_act", ("activation",), "silu", GATED_ACTIVATIONS),
        Attribute("rms_norm_eps", ("norm_epsilon",), 1e-6),
        Attribute("attention_dropout", ("attention_dropout",), 0.0),
        Attribute("initializer_range", ("init_std",), 0.02),
        Attribute("tie_word_embeddings", ("tie_embeddings",), tied),
    )


def read_qwen(values: Mapping[str, Any]) -> Fields:
    """Returns rotary positions and the window of Qwen's models."""
    return {**read_rope(values), **read_late_window(values)}


def write_qwen(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for these; undoes `read_qwen`."""
    return {**write_rope(config), **write_late_window(config)}


def read_mistral(values: Mapping[str, Any]) -> Fields:
    """Returns rotary positions, and the blocks with a window if a file lists them, as for Ministral."""
    types = values.get("layer_types")
    if types is None:
        return read_rope(values)
    pattern = pattern_of(types)
    return {**read_rope(values), **({"window": None} if pattern == "f" else {"layer_pattern": pattern})}


def write_mistral(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for these; undoes `read_mistral`."""
    types = layer_types(config)
    return {**write_rope(config), **({"layer_types": types} if len({*types}) > 1 else {})}


ATTENTION_BIAS = Attribute("attention_bias", ("qkv_bias", "attention_bias"), False)

LLAMA = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    body_architecture="LlamaModel",
    sequences=last_token_table("LlamaForSequenceClassification"),
    kind=models.CAUSAL_LM,
    constants=LLAMA_DECODER,
    attributes=(
        *sizes(32000, 4096, 11008, 32, 32, None, None, 2048),
        ATTENTION_BIAS,
        Attribute("mlp_bias", ("mlp_bias",), False),
    ),
    inert=frozenset({"pretraining_tp"}),
    read=read_rope,
    write=write_rope,
    read_names=NAMES,
    tensors=LLAMA_TENSORS,
    **LLAMA_FILES,
)
MISTRAL = Family(
    name="mistral",
    architecture="MistralForCausalLM",
    body_architecture="MistralModel",
    sequences=last_token_table("MistralForSequenceClassification"),
    kind=models.CAUSAL_LM,
    constants=LLAMA_DECODER,
    attributes=(
        *sizes(32000, 4096, 14336, 32, 32, 8, None, 131072),
        Attribute("sliding_window", ("window",), 4096),
    ),
    read=read_mistral,
    write=write_mistral,
    read_names=NAMES | {"layer_types"},
    tensors=LLAMA_TENSORS,
    **LLAMA_FILES,
)
QWEN2 = Family(
    name="qwen2",
    architecture="Qwen2ForCausalLM",
    body_architecture="Qwen2Model",
    sequences=last_token_table("Qwen2ForSequenceClassification"),
    kind=models.CAUSAL_LM,
    constants={**LLAMA_DECODER, "qkv_bias": True},
    attributes=sizes(151936, 4096, 22016, 32, 32, 32, None, 32768),
    read=read_qwen,
    write=write_qwen,
    read_names=ROTARY_AND_WINDOW,
    tensors=LLAMA_TENSORS,
    **LLAMA_FILES,
)
QWEN3 = Family(
    name="qwen3",
    architecture="Qwen3ForCausalLM",
    body_architecture="Qwen3Model",
    sequences=last_token_table("Qwen3ForSequenceClassification"),
    kind=models.CAUSAL_LM,
    constants={**LLAMA_DECODER, "qk_norm": True},
    attributes=(*sizes(151936, 4096, 22016, 32, 32, 32, 128, 32768), ATTENTION_BIAS),
    read=read_qwen,
    write=write_qwen,
    read_names=ROTARY_AND_WINDOW,
    tensors={**LLAMA_TENSORS, **HEAD_NORMS},
    **LLAMA_FILES,
)
