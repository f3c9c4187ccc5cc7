"""T5, its first version and 1.1, in whose files Flan-T5 comes too."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, Fields, Theirs

ENCODER, DECODER = "encoder.block.{layer}", "decoder.block.{layer}"
# "gated-gelu" is the approximated one.
FORWARD = {
    "relu": "relu",
    "gated-gelu": "geglu_tanh",
    "gated-gelu_new": "geglu_tanh",
    "gated-silu": "swiglu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "silu": "silu",
}


def read_head(values: Mapping[str, Any]) -> Fields:
    """Returns what the head is, and the token that the decoder begins with.

    The first version ties its head and scales what it reads; 1.1 does neither. Files of transformers 4 say
    both by `tie_word_embeddings`; those of 5 say `scale_decoder_outputs` and call every head tied.
    """
    scaled = values.get("scale_decoder_outputs", values.get("tie_word_embeddings") is not False)
    start = values.get("decoder_start_token_id")
    return {
        "output_scale": values.get("d_model", 512) ** -0.5 if scaled else 1.0,
        "tie_embeddings": values.get("tie_word_embeddings") is not False,
        "decoder_start_id": values.get("pad_token_id", 0) if start is None else start,
    }


def write_head(config: models.TransformerConfig) -> Fields:
    """Returns the attributes that say these; undoes `read_head`."""
    return {
        "tie_word_embeddings": config.tie_embeddings,
        "scale_decoder_outputs": config.output_scale != 1.0,
        "decoder_start_token_id": config.decoder_start_id,
        "is_encoder_decoder": True,
    }


def settle_head(config: models.TransformerConfig, names: Collection[str]) -> models.TransformerConfig:
    """Returns a config whose head is not tied if it has a kernel of its own: of 1.1 only its tensors say."""
    if config.output_scale != 1.0:
        return config
    return dataclasses.replace(config, tie_embeddings=config.tie_embeddings and "lm_head.weight" not in names)


def _attention(ours: str, theirs: str) -> dict[str, str | Theirs]:
    return {
        f"{ours}.attention.qkv": Theirs(tuple(f"{theirs}.layer.0.SelfAttention.{role}" for role in "qkv")),
        f"{ours}.attention.output": f"{theirs}.layer.0.SelfAttention.o",
        f"{ours}.attention_norm": f"{theirs}.layer.0.layer_norm",
    }


def _feed_forward(ours: str, theirs: str) -> dict[str, str | Theirs]:
    return {
        f"{ours}.mlp.up": f"{theirs}.DenseReluDense.wi",
        f"{ours}.mlp.down": f"{theirs}.DenseReluDense.wo",
        f"{ours}.mlp_norm": f"{theirs}.layer_norm",
    }


def _gate(theirs: str) -> Theirs:
    return Theirs(tuple(f"{theirs}.DenseReluDense.wi_{number}" for number in range(2)))


CROSS = f"{DECODER}.layer.1"
DISTANCES = "block.0.layer.0.SelfAttention.relative_attention_bias"
T5 = Family(
    name="t5",
    architecture="T5ForConditionalGeneration",
    body_architecture="T5EncoderModel",
    objective="seq2seq_lm",
    constants={
        "position": "relative",
        "norm": "rms",
        "use_bias": False,
        "attention_scale": 1.0,
        "head": "linear",
        "head_bias": False,
    },
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 32128),
        Attribute("d_model", ("width",), 512),
        Attribute("d_kv", ("head_width",), 64),
        Attribute("d_ff", ("mlp_width",), 2048),
        Attribute("num_layers", ("depth",), 6),
        Attribute("num_decoder_layers", ("decoder_depth",), None),
        Attribute("num_heads", ("num_heads",), 8),
        Attribute("n_positions", ("max_length",), 512),
        Attribute("relative_attention_num_buckets", ("relative_buckets",), 32),
        Attribute("relative_attention_max_distance", ("relative_distance",), 128),
        Attribute("feed_forward_proj", ("activation",), "relu", FORWARD),
        Attribute("layer_norm_epsilon", ("norm_epsilon",), 1e-6),
        Attribute(
            "dropout_rate",
            ("embedding_dropout", "attention_dropout", "attention_output_dropout", "mlp_dropout"),
            0.1,
        ),
    ),
    inert=frozenset({"dense_act_fn", "initializer_factor", "is_gated_act"}),
    only={"is_encoder_decoder": (True, False)},  # of the encoder alone transformers writes False
    read=read_head,
    write=write_head,
    read_names=frozenset({"tie_word_embeddings", "scale_decoder_outputs"}),
    settle=settle_head,
    tensors={
        "encoder.embeddings.token": "shared",
        "encoder.distances": f"encoder.{DISTANCES}",
        **_attention("encoder.block", ENCODER),
        **_feed_forward("encoder.block", f"{ENCODER}.layer.1"),
        "encoder.final_norm": "encoder.final_layer_norm",
        "decoder.distances": f"decoder.{DISTANCES}",
        **_attention("decoder.block", DECODER),
        "decoder.block.cross_attention.query": f"{CROSS}.EncDecAttention.q",
        "decoder.block.cross_attention.memory": Theirs(
            (f"{CROSS}.EncDecAttention.k", f"{CROSS}.EncDecAttention.v")
        ),
        "decoder.block.cross_attention.output": f"{CROSS}.EncDecAttention.o",
        "decoder.block.cross_attention_norm": f"{CROSS}.layer_norm",
        **_feed_forward("decoder.block", f"{DECODER}.layer.2"),
        "decoder.final_norm": "decoder.final_layer_norm",
        "head.decode": "lm_head",
    },
    gated={
        "encoder.block.mlp.up": _gate(f"{ENCODER}.layer.1"),
        "decoder.block.mlp.up": _gate(f"{DECODER}.layer.2"),
    },
    prefix="",
    head=("lm_head.",),
    # The first files have a table of distances to the memory, which none reads.
    unused=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
    copies={"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"},
    tied={"lm_head.weight": "shared.weight"},
)
