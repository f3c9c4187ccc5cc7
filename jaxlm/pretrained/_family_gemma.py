"""Gemma 2 and the text models of Gemma 3."""

import math
from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import GATED_ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute, raise_unsupported
from jaxlm.pretrained._family import Family, Fields, SourceModules
from jaxlm.pretrained._family_llama import (
    ATTENTION_BIAS,
    HEAD_NORMS,
    LLAMA_DECODER,
    LLAMA_FILES,
    LLAMA_LAYER,
    LLAMA_TENSORS,
    sizes,
)
from jaxlm.pretrained._rope import NAMES, read_rope, rope_fields, rope_parameters, write_rope
from jaxlm.pretrained._windows import FULL, SLIDING, layer_types, pattern_of

GEMMA = {**LLAMA_DECODER, "norm_offset": True, "norm_placement": "sandwich"}
GEMMA_TENSORS: dict[str, str | SourceModules] = {
    **LLAMA_TENSORS,
    "body.block.attention_output_norm": f"{LLAMA_LAYER}.post_attention_layernorm",
    "body.block.mlp_norm": f"{LLAMA_LAYER}.pre_feedforward_layernorm",
    "body.block.mlp_output_norm": f"{LLAMA_LAYER}.post_feedforward_layernorm",
}
ACTIVATION = Attribute("hidden_activation", ("activation",), "gelu_pytorch_tanh", GATED_ACTIVATIONS)
SHARED = frozenset({"query_pre_attn_scalar", "sliding_window", "layer_types"})
# The first files name `hidden_act` instead of `hidden_activation`, but transformers computes the latter.
GEMMA_INERT = frozenset({"cache_implementation", "hidden_act"})
# Attributes of the model for texts and images; only its part for texts is read.
OF_IMAGES = frozenset({"image_size", "image_token_id", "layer_norm_eps", "mm_tokens_per_image", "patch_size"})


def read_scales_and_windows(values: Mapping[str, Any], every: int) -> Fields:
    """Returns the scales of embeddings and of scores, and the windows.

    Args:
      values: config.json.
      every: every so many blocks one has full attention, if the file has no list of layer types.
    """
    depth = values.get("num_hidden_layers", 26)
    types = values.get("layer_types")
    if types is None:
        types = [SLIDING if (layer + 1) % every else FULL for layer in range(depth)]
    pattern = pattern_of(types)
    windows = {"window": values.get("sliding_window", 4096), "layer_pattern": pattern}
    return {
        "embedding_scale": math.sqrt(values.get("hidden_size", 2304)),
        "attention_scale": values.get("query_pre_attn_scalar", 256) ** -0.5,
        **({} if pattern == "f" else windows),
    }


def write_scales_and_windows(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for scales and windows; undoes `read_scales_and_windows`.

    Raises:
      AssertionError: the config is not resolved.
    """
    if config.attention_scale is None:
        raise AssertionError("expected a resolved config, got one without attention_scale")
    scalar = config.attention_scale**-2
    whole = round(scalar)
    # transformers requires the size of a window even if no block has one.
    window = {} if config.window is None else {"sliding_window": config.window}
    return {
        "query_pre_attn_scalar": whole if math.isclose(whole, scalar, rel_tol=1e-9) else scalar,
        **window,
        "layer_types": layer_types(config),
    }


def read_gemma2(values: Mapping[str, Any]) -> Fields:
    """Returns rotary positions, scales and windows of Gemma 2."""
    return {**read_rope(values), **read_scales_and_windows(values, 2)}


def write_gemma2(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for these; undoes `read_gemma2`."""
    return {**write_rope(config), **write_scales_and_windows(config)}


def read_gemma3(values: Mapping[str, Any]) -> Fields:
    """Returns rotary positions, scales and windows of Gemma 3."""
    every = values.get("sliding_window_pattern", values.get("_sliding_window_pattern", 6))
    return {
        **read_two_ropes(values, "rope_theta", 1e6, "rope_local_base_freq"),
        **read_scales_and_windows(values, every),
    }


def write_gemma3(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for these; undoes `read_gemma3`."""
    return {**write_two_ropes(config), **write_scales_and_windows(config)}


def read_two_ropes(values: Mapping[str, Any], full_name: str, full_base: float, window_name: str) -> Fields:
    """Returns the rotary positions of blocks with full attention and of those with a window.

    Args:
      values: config.json.
      full_name: the name in older files of the base for full attention.
      full_base: the default of that base.
      window_name: the name in older files of the base for a window, whose default is 10000.

    Raises:
      UnsupportedError: one line that names what is not supported.
    """
    told = values.get("rope_parameters") or {}
    raise_unsupported(
        [f"{name}={told[name]!r} in rope_parameters" for name in sorted({*told} - {FULL, SLIDING})]
    )
    # Without parameters of its own, full attention has the default kind, whatever older names say.
    full = {
        "rope_theta": values.get(full_name, full_base),
        **(told.get(FULL) or {"rope_type": "default"}),
    }
    full |= values.get("rope_scaling") or {}
    window = {"rope_theta": values.get(window_name, 10000.0), **(told.get(SLIDING) or {})}
    shares = [parameters.pop("partial_rotary_factor", None) for parameters in (full, window)]
    raise_unsupported(
        [f"partial_rotary_factor={share!r} in rope_parameters" for share in shares if share not in (None, 1)]
    )
    # transformers ignores this parameter where there is a set of parameters for each kind of block.
    full.pop("truncate", None)
    scaled = {name: value for name, value in rope_fields(window, values).items() if name != "position.base"}
    raise_unsupported(
        [f"{name}={value!r} in blocks with a window (rope_parameters)" for name, value in scaled.items()]
    )
    return {
        **rope_fields(full, values),
        "position.window_base": window["rope_theta"],
    }


def write_two_ropes(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for both positions; undoes `read_two_ropes`."""
    rotary = config.position
    if not isinstance(rotary, models.Rotary):
        return {}
    window = rotary.base if rotary.window_base is None else rotary.window_base
    return {
        "rope_parameters": {
            FULL: rope_parameters(config),
            SLIDING: {"rope_type": "default", "rope_theta": window},
        }
    }


GEMMA2 = Family(
    name="gemma2",
    architecture="Gemma2ForCausalLM",
    body_architecture="Gemma2Model",
    kind=models.CAUSAL_LM,
    constants=GEMMA,
    attributes=(
        *sizes(256000, 2304, 9216, 26, 8, 4, 256, 8192, tied=True, activation=ACTIVATION),
        ATTENTION_BIAS,
        Attribute("final_logit_softcapping", ("logit_softcap",), 30.0),
        Attribute("attn_logit_softcapping", ("attention_softcap",), 50.0),
    ),
    inert=GEMMA_INERT,
    only={"use_bidirectional_attention": (None, False)},
    read=read_gemma2,
    write=write_gemma2,
    read_names=NAMES | SHARED,
    tensors=GEMMA_TENSORS,
    **LLAMA_FILES,
)
GEMMA3 = Family(
    name="gemma3_text",
    architecture="Gemma3ForCausalLM",
    body_architecture="Gemma3TextModel",
    kind=models.CAUSAL_LM,
    constants={**GEMMA, "qk_norm": True},
    attributes=(
        *sizes(262208, 2304, 9216, 26, 8, 4, 256, 131072, tied=True, activation=ACTIVATION),
        ATTENTION_BIAS,
        Attribute("final_logit_softcapping", ("logit_softcap",), None),
    ),
    inert=GEMMA_INERT | OF_IMAGES,
    # transformers reads the softcap of the attention scores but does not apply it.
    only={
        "use_bidirectional_attention": (None, False),
        "attn_logit_softcapping": (None,),
        "text_config": (None,),
        "vision_config": (None,),
    },
    read=read_gemma3,
    write=write_gemma3,
    read_names=NAMES | SHARED | {"rope_local_base_freq", "sliding_window_pattern", "_sliding_window_pattern"},
    tensors={**GEMMA_TENSORS, **HEAD_NORMS},
    **LLAMA_FILES,
)
