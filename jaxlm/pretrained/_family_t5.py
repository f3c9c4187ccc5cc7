"""T5, its first version and 1.1; Flan-T5 has the form of 1.1."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import GATED_ACTIVATIONS, UNGATED_WORDS
from jaxlm.pretrained._attributes import Attribute, architecture_names, collect_errors, raise_unsupported
from jaxlm.pretrained._family import Family, Fields, SourceModules

# Classes of a model with encoder and decoder.
T5_BOTH_SIDES = frozenset({"T5ForConditionalGeneration", "T5Model", "T5WithLMHeadModel"})
T5_ENCODER, T5_DECODER = "encoder.block.{layer}", "decoder.block.{layer}"
# By our activation, the name of the feed-forward.
FORWARD = {
    "relu": "relu",
    "geglu_tanh": "gated-gelu",
    "swiglu": "gated-silu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_new",
    "silu": "silu",
}


def read_forward(values: Mapping[str, Any]) -> Fields:
    """Returns the activation; `gated-gelu` is the tanh approximation.

    Files of 1.1 also name the parts of the feed-forward, which win over the name of the whole.

    Raises:
      UnsupportedError: the activation is not supported.
    """
    word = values.get("feed_forward_proj") or "relu"
    gated = values.get("is_gated_act", word.startswith("gated-"))
    function = values.get("dense_act_fn", "gelu_new" if word == "gated-gelu" else word.removeprefix("gated-"))
    known = GATED_ACTIVATIONS if gated else UNGATED_WORDS
    if function not in known:
        names = [name for name in ("feed_forward_proj", "dense_act_fn", "is_gated_act") if name in values]
        told = " with ".join(f"{name}={values[name]!r}" for name in names)
        raise_unsupported([f"{told} (known are {', '.join(map(repr, FORWARD.values()))})"])
    return {"activation": known[function]}


def read_head(values: Mapping[str, Any]) -> Fields:
    """Returns the fields of the head, and the token with which the decoder begins.

    The first version ties its head and scales the head's input; 1.1 does neither. Files of transformers 4 say
    both by `tie_word_embeddings`. Files of transformers 5 have `scale_decoder_outputs` and call every head
    tied.
    """
    scaled = values.get("scale_decoder_outputs", values.get("tie_word_embeddings") is not False)
    start = values.get("decoder_start_token_id")
    return {
        "output_scale": values.get("d_model", 512) ** -0.5 if scaled else 1.0,
        "tie_embeddings": values.get("tie_word_embeddings") is not False,
        "decoder.start_id": values.get("pad_token_id", 0) if start is None else start,
    }


def check_sides(values: Mapping[str, Any]) -> None:
    """Raises an error if a model with encoder and decoder is not called so; an encoder alone may not be.

    Raises:
      UnsupportedError: `is_encoder_decoder` is not True.
    """
    named = architecture_names(values)
    has_both = not named or not T5_BOTH_SIDES.isdisjoint(named)
    if has_both and values.get("is_encoder_decoder", True) is not True:
        raise_unsupported([f"is_encoder_decoder={values['is_encoder_decoder']!r} (only True)"])


def read_t5(values: Mapping[str, Any]) -> Fields:
    """Returns activation and head, after the check of both sides."""
    return collect_errors(
        [lambda: check_sides(values), lambda: read_forward(values), lambda: read_head(values)]
    )


def write_head(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for these; undoes `read_t5`."""
    return {
        "tie_word_embeddings": config.tie_embeddings,
        "scale_decoder_outputs": config.output_scale != 1.0,
        "decoder_start_token_id": config.decoder.start_id if config.decoder else None,
        "is_encoder_decoder": True,
        **({"feed_forward_proj": FORWARD[config.activation]} if config.activation in FORWARD else {}),
    }


def infer_tied_head(config: models.TransformerConfig, names: Collection[str]) -> models.TransformerConfig:
    """Returns the config with a tied head, unless the file has a kernel for it: for 1.1 only tensors tell."""
    if config.output_scale != 1.0:
        return config
    return dataclasses.replace(config, tie_embeddings="lm_head.weight" not in names)


def _attention(ours: str, theirs: str) -> dict[str, str | SourceModules]:
    return {
        f"{ours}.attention.qkv": SourceModules(
            tuple(f"{theirs}.layer.0.SelfAttention.{role}" for role in "qkv")
        ),
        f"{ours}.attention.output": f"{theirs}.layer.0.SelfAttention.o",
        f"{ours}.attention_norm": f"{theirs}.layer.0.layer_norm",
    }


def _feed_forward(ours: str, theirs: str) -> dict[str, str | SourceModules]:
    return {
        f"{ours}.mlp.up": f"{theirs}.DenseReluDense.wi",
        f"{ours}.mlp.down": f"{theirs}.DenseReluDense.wo",
        f"{ours}.mlp_norm": f"{theirs}.layer_norm",
    }


def _gate(theirs: str) -> SourceModules:
    return SourceModules(tuple(f"{theirs}.DenseReluDense.wi_{number}" for number in range(2)))


CROSS = f"{T5_DECODER}.layer.1"
DISTANCES = "block.0.layer.0.SelfAttention.relative_attention_bias"
T5 = Family(
    name="t5",
    architecture="T5ForConditionalGeneration",
    body_architecture="T5EncoderModel",
    kind=models.SEQ2SEQ_LM,
    constants={
        "position.kind": "relative",
        "norm": "rms",
        "use_bias": False,
        "attention_scale": 1.0,
        "head.kind": "linear",
        "head_bias": False,
    },
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 32128),
        Attribute("d_model", ("width",), 512),
        Attribute("d_kv", ("head_width",), 64),
        Attribute("d_ff", ("mlp_width",), 2048),
        Attribute("num_layers", ("depth",), 6),
        Attribute("num_decoder_layers", ("decoder.depth",), None),
        Attribute("num_heads", ("num_heads",), 8),
        Attribute("n_positions", ("max_length",), 512),
        Attribute("relative_attention_num_buckets", ("position.buckets",), 32),
        Attribute("relative_attention_max_distance", ("position.distance",), 128),
        Attribute("layer_norm_epsilon", ("norm_epsilon",), 1e-6),
        Attribute(
            "dropout_rate",
            ("embedding_dropout", "attention_dropout", "attention_output_dropout", "mlp_dropout"),
            0.1,
        ),
    ),
    synonyms={
        "head_dim": "d_kv",
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
    },
    follows={"num_decoder_layers": "num_layers"},
    inert=frozenset({"initializer_factor", "is_decoder", "max_position_embeddings"}),
    only={"is_encoder_decoder": (True, False), "tie_encoder_decoder": (False, None)},
    read=read_t5,
    write=write_head,
    read_names=frozenset(
        {"dense_act_fn", "feed_forward_proj", "is_gated_act", "scale_decoder_outputs", "tie_word_embeddings"}
    ),
    settle=infer_tied_head,
    tensors={
        "encoder.embeddings.token": "shared",
        "encoder.distances": f"encoder.{DISTANCES}",
        **_attention("encoder.block", T5_ENCODER),
        **_feed_forward("encoder.block", f"{T5_ENCODER}.layer.1"),
        "encoder.final_norm": "encoder.final_layer_norm",
        "decoder.distances": f"decoder.{DISTANCES}",
        **_attention("decoder.block", T5_DECODER),
        "decoder.block.cross_attention.query": f"{CROSS}.EncDecAttention.q",
        "decoder.block.cross_attention.memory": SourceModules(
            (f"{CROSS}.EncDecAttention.k", f"{CROSS}.EncDecAttention.v")
        ),
        "decoder.block.cross_attention.output": f"{CROSS}.EncDecAttention.o",
        "decoder.block.cross_attention_norm": f"{CROSS}.layer_norm",
        **_feed_forward("decoder.block", f"{T5_DECODER}.layer.2"),
        "decoder.final_norm": "decoder.final_layer_norm",
        "head.decode": "lm_head",
    },
    gated={
        "encoder.block.mlp.up": _gate(f"{T5_ENCODER}.layer.1"),
        "decoder.block.mlp.up": _gate(f"{T5_DECODER}.layer.2"),
    },
    prefix="",
    head=("lm_head.",),
    # The first files have a table of distances for cross-attention, which is not used.
    unused=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
    copies={"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"},
    tied={"lm_head.weight": "shared.weight"},
)
