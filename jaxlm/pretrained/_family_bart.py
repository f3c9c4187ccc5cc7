"""Marian's translators and BART: norms after each sum, one table of tokens, a bias of the logits."""

import math
from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import UNGATED_WORDS
from jaxlm.pretrained._attributes import Attribute, raise_unsupported
from jaxlm.pretrained._family import Family, Fields, SourceModules

BART_ENCODER, BART_DECODER = "model.encoder.layers.{layer}", "model.decoder.layers.{layer}"


def read_sides(values: Mapping[str, Any]) -> Fields:
    """Returns the scale of the embeddings; raises an error if encoder and decoder differ in a shared field.

    Raises:
      UnsupportedError: names what differs.
    """
    heads, vocab_size = values.get("encoder_attention_heads", 16), values.get("vocab_size")
    same = {"decoder_attention_heads": heads, "decoder_vocab_size": vocab_size}
    decoder = {name: values.get(name) for name in same}
    told = values.get("num_attention_heads")
    second = "" if told is None else f" beside num_attention_heads={told!r}"
    raise_unsupported(
        [
            f"{name}={decoder[name]!r} (only {encoder!r}, as the encoder){second}"
            for name, encoder in same.items()
            if decoder[name] not in (None, encoder)
        ]
    )
    return {
        "embedding_scale": math.sqrt(values.get("d_model", 1024)) if values.get("scale_embedding") else 1.0
    }


def write_sides(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for the scale and the two sides; undoes `read_sides`."""
    return {
        "decoder_attention_heads": config.num_heads,
        "scale_embedding": config.embedding_scale != 1.0,
        "num_hidden_layers": config.depth,
        "tie_word_embeddings": True,
        "is_encoder_decoder": True,
    }


def write_marian(config: models.TransformerConfig) -> Fields:
    """Returns the attributes of `write_sides`, and those of Marian alone."""
    return {
        **write_sides(config),
        "decoder_vocab_size": config.vocab_size,
        "share_encoder_decoder_embeddings": True,
    }


def attributes(vocab_size: int, start_id: int) -> tuple[Attribute, ...]:
    """Returns the attributes that Marian and BART share, with a family's defaults."""
    return (
        Attribute("vocab_size", ("vocab_size",), vocab_size),
        Attribute("max_position_embeddings", ("max_length",), 1024),
        Attribute("d_model", ("width",), 1024),
        Attribute("encoder_layers", ("depth",), 12),
        Attribute("decoder_layers", ("decoder.depth",), 12),
        Attribute("encoder_attention_heads", ("num_heads",), 16),
        Attribute("encoder_ffn_dim", ("mlp_width",), 4096),
        Attribute("decoder_ffn_dim", ("decoder.mlp_width",), 4096),
        Attribute("activation_function", ("activation",), "gelu", UNGATED_WORDS),
        Attribute("dropout", ("embedding_dropout", "attention_output_dropout", "mlp_dropout"), 0.1),
        Attribute("attention_dropout", ("attention_dropout",), 0.0),
        Attribute("init_std", ("init_std",), 0.02),
        Attribute("decoder_start_token_id", ("decoder.start_id",), start_id),
    )


def _attention(ours: str, theirs: str) -> dict[str, str | SourceModules]:
    return {
        f"{ours}.attention.qkv": SourceModules(tuple(f"{theirs}.self_attn.{role}_proj" for role in "qkv")),
        f"{ours}.attention.output": f"{theirs}.self_attn.out_proj",
        f"{ours}.attention_norm": f"{theirs}.self_attn_layer_norm",
        f"{ours}.mlp.up": f"{theirs}.fc1",
        f"{ours}.mlp.down": f"{theirs}.fc2",
        f"{ours}.mlp_norm": f"{theirs}.final_layer_norm",
    }


CONSTANTS = {
    "norm_placement": "post",
    "norm_epsilon": 1e-5,
    "head.kind": "linear",
}
BART_TENSORS = {
    "encoder.embeddings.token": "model.shared",
    **_attention("encoder.block", BART_ENCODER),
    **_attention("decoder.block", BART_DECODER),
    "decoder.block.cross_attention.query": f"{BART_DECODER}.encoder_attn.q_proj",
    "decoder.block.cross_attention.memory": SourceModules(
        (f"{BART_DECODER}.encoder_attn.k_proj", f"{BART_DECODER}.encoder_attn.v_proj")
    ),
    "decoder.block.cross_attention.output": f"{BART_DECODER}.encoder_attn.out_proj",
    "decoder.block.cross_attention_norm": f"{BART_DECODER}.encoder_attn_layer_norm",
    "head.decode.bias": SourceModules(("final_logits_bias",), "row"),
}
BART_FILES = {
    "prefix": "model.",
    "head": ("final_logits_bias", "lm_head."),
    "copies": {
        "model.encoder.embed_tokens.weight": "model.shared.weight",
        "model.decoder.embed_tokens.weight": "model.shared.weight",
    },
    "tied": {"lm_head.weight": "model.shared.weight"},
    # Files of the bare body have none.
    "zeros": frozenset({"final_logits_bias"}),
}
BART_INERT = frozenset(
    [
        "classif_dropout",
        "extra_pos_embeddings",
        "force_bos_token_to_be_generated",
        "is_decoder",
        # Above 0 in published folders. They act in training only, and jaxlm has no such dropouts.
        "activation_dropout",
        "decoder_layerdrop",
        "encoder_layerdrop",
    ]
)
SYNONYMS = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
}
ONLY = {
    "is_encoder_decoder": (True,),
    # If False, transformers ties no tables, not even those of the two sides.
    "tie_word_embeddings": (True,),
    "add_bias_logits": (False, None),
    "tie_encoder_decoder": (False, None),
    "add_final_layer_norm": (False, None),
    "normalize_before": (False, None),
}
SIDES = frozenset({"decoder_attention_heads", "decoder_vocab_size", "scale_embedding"})

MARIAN = Family(
    name="marian",
    architecture="MarianMTModel",
    kind=models.SEQ2SEQ_LM,
    constants={**CONSTANTS, "position.kind": "sinusoidal"},
    attributes=attributes(58101, 58100),
    inert=BART_INERT,
    synonyms=SYNONYMS,
    only={
        **ONLY,
        "normalize_embedding": (False, None),
        "share_encoder_decoder_embeddings": (True, None),
        "static_position_embeddings": (True, None),
    },
    read=read_sides,
    write=write_marian,
    read_names=SIDES,
    tensors=BART_TENSORS,
    # Sinusoidal tables, which are computed.
    unused=(r"model\.(encoder|decoder)\.embed_positions\.weight",),
    **BART_FILES,
)
BART = Family(
    name="bart",
    architecture="BartForConditionalGeneration",
    kind=models.SEQ2SEQ_LM,
    constants={**CONSTANTS, "position.kind": "learned", "position.offset": 2, "embedding_norm": True},
    attributes=attributes(50265, 2),
    inert=BART_INERT,
    synonyms=SYNONYMS,
    only={**ONLY, "normalize_embedding": (True, None), "static_position_embeddings": (False, None)},
    read=read_sides,
    write=write_sides,
    read_names=SIDES,
    tensors={
        **BART_TENSORS,
        **{
            f"{side}.embeddings.{ours}": f"model.{side}.{theirs}"
            for side in ("encoder", "decoder")
            for ours, theirs in (("position", "embed_positions"), ("norm", "layernorm_embedding"))
        },
    },
    unused=(r"model\.(encoder|decoder)\.version",),
    **BART_FILES,
)
