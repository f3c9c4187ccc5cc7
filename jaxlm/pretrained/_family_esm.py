"""ESM-2, and ESM-1b with it."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, Fields, SourceModules
from jaxlm.pretrained._family_bert import FIRST_NAMES, NO_DECODER, SIZES
from jaxlm.pretrained._family_roberta import ROBERTA_HEAD, classifier_table, read_offset, write_offset
from jaxlm.pretrained._rope import check_head_width

ESM_LAYER = "esm.encoder.layer.{layer}"
_FLAG = {False: False, None: False, True: True}


def read_esm(values: Mapping[str, Any]) -> Fields:
    """Returns the positions: rotary ones, or a table as in RoBERTa."""
    if values.get("position_embedding_type", "absolute") == "absolute":
        return read_offset(values, rows=1026)
    check_head_width(values, values.get("hidden_size", 768) // values.get("num_attention_heads", 12))
    base = values.get("rope_theta")
    return {
        "max_length": values.get("max_position_embeddings", 1026),
        "position.base": 10000.0 if base is None else base,
    }


def write_esm(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for the positions; undoes `read_esm`."""
    if not isinstance(config.position, models.Rotary):
        return write_offset(config)
    return {"max_position_embeddings": config.max_length, "rope_theta": config.position.base}


ESM = Family(
    name="esm",
    architecture="EsmForMaskedLM",
    body_architecture="EsmModel",
    kind=models.MASKED_LM,
    constants={"activation": "gelu"},
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 33),
        Attribute(
            "position_embedding_type",
            ("position.kind",),
            "absolute",
            {"absolute": "learned", "rotary": "rotary"},
        ),
        Attribute("emb_layer_norm_before", ("embedding_norm",), None, _FLAG),
        Attribute("token_dropout", ("token_dropout",), False, _FLAG),
        Attribute("mask_token_id", ("mask_id",), None),
        *SIZES,
        # transformers applies no dropout to the embeddings.
        Attribute("hidden_dropout_prob", ("attention_output_dropout", "mlp_dropout"), 0.1),
    ),
    inert=frozenset({"vocab_list"}),
    # With null there would be no positions.
    only={
        **NO_DECODER,
        "position_embedding_type": ("absolute", "rotary"),
        "is_folding_model": (False, None),
        "esmfold_config": (None,),
    },
    read=read_esm,
    write=write_esm,
    read_names=frozenset({"head_dim", "max_position_embeddings", "pad_token_id", "rope_theta"}),
    tensors={
        "body.embeddings.token": "esm.embeddings.word_embeddings",
        "body.embeddings.position": "esm.embeddings.position_embeddings",
        "body.embeddings.norm": "esm.embeddings.layer_norm",
        "body.block.attention_norm": f"{ESM_LAYER}.attention.LayerNorm",
        "body.block.attention.qkv": SourceModules(
            tuple(f"{ESM_LAYER}.attention.self.{role}" for role in ("query", "key", "value"))
        ),
        "body.block.attention.output": f"{ESM_LAYER}.attention.output.dense",
        "body.block.mlp_norm": f"{ESM_LAYER}.LayerNorm",
        "body.block.mlp.up": f"{ESM_LAYER}.intermediate.dense",
        "body.block.mlp.down": f"{ESM_LAYER}.output.dense",
        "body.final_norm": "esm.encoder.emb_layer_norm_after",
        **ROBERTA_HEAD,
    },
    prefix="esm.",
    head=("lm_head.",),
    aliases=FIRST_NAMES,
    unused=(
        r"esm\.embeddings\.(position_ids|position_embeddings\.weight)",  # in files of ESM-2 too
        r"esm\.(.*\.)?rotary_embeddings\.inv_freq",
    ),
    tied={"lm_head.decoder.weight": "esm.embeddings.word_embeddings.weight"},
    sequences=classifier_table("EsmForSequenceClassification"),
)
