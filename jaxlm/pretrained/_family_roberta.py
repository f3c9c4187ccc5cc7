"""RoBERTa: BERT with positions that begin after the padding's, and another head."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._activations import ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, Fields
from jaxlm.pretrained._family_bert import (
    BERT_ENCODER,
    DROPOUT_ATTRIBUTE,
    FIRST_NAMES,
    NO_DECODER,
    SIZES,
    layers,
    write_types,
)
from jaxlm.pretrained._sequence_heads import SequenceHeadTable, read_pooler, write_dropout


def read_offset(values: Mapping[str, Any], pad_id: int = 1, rows: int = 512) -> Fields:
    """Returns the table of positions, whose rows up to the padding id belong to no position.

    Args:
      values: config.json.
      pad_id: the default of transformers for the padding id.
      rows: the default of transformers for the rows of the table.
    """
    named = values.get("pad_token_id", pad_id)
    offset = 0 if named is None else named + 1
    return {
        "max_length": values.get("max_position_embeddings", rows) - offset,
        "position.kind": "learned",
        "position.offset": offset,
    }


def write_offset(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for such a table; undoes `read_offset`."""
    offset = config.position.offset if isinstance(config.position, models.Learned) else 0
    return {"max_position_embeddings": config.max_length + offset, "pad_token_id": max(offset - 1, 0)}


def write_roberta(config: models.TransformerConfig) -> Fields:
    """Returns the attributes for positions and token types."""
    return {**write_offset(config), **write_types(config)}


# The head of RoBERTa, which ESM has too.
ROBERTA_HEAD = {
    "head.transform": "lm_head.dense",
    "head.norm": "lm_head.layer_norm",
    "head.decode.kernel": "lm_head.decoder.weight",
    "head.decode.bias": "lm_head.bias",
}


def classifier_table(architecture: str) -> SequenceHeadTable:
    """Returns the head of RoBERTa for whole sequences, which ESM has too.

    Args:
      architecture: the class of transformers.
    """
    return SequenceHeadTable(
        architecture,
        {"head.layer_0": "classifier.dense", "head.output": "classifier.out_proj"},
        ("classifier.",),
        read_pooler,
        write_dropout,
    )


ROBERTA = Family(
    name="roberta",
    architecture="RobertaForMaskedLM",
    body_architecture="RobertaModel",
    kind=models.MASKED_LM,
    constants={**BERT_ENCODER, "head.kind": "transform", "head.activation": "gelu"},
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 50265),
        Attribute("type_vocab_size", ("token_types",), 2),
        Attribute("hidden_act", ("activation",), "gelu", ACTIVATIONS),
        *SIZES,
        DROPOUT_ATTRIBUTE,
    ),
    only={**NO_DECODER, "position_embedding_type": ("absolute", None)},
    read=read_offset,
    write=write_roberta,
    read_names=frozenset({"max_position_embeddings", "pad_token_id"}),
    tensors={
        "body.embeddings.token": "roberta.embeddings.word_embeddings",
        "body.embeddings.position": "roberta.embeddings.position_embeddings",
        "body.embeddings.type": "roberta.embeddings.token_type_embeddings",
        "body.embeddings.norm": "roberta.embeddings.LayerNorm",
        **layers("roberta.encoder.layer.{layer}"),
        **ROBERTA_HEAD,
    },
    prefix="roberta.",
    head=("lm_head.",),
    aliases=FIRST_NAMES,
    unused=(r"roberta\.embeddings\.(position_ids|token_type_ids)",),
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    untied={"head.decode.bias": "lm_head.decoder.bias"},
    sequences=classifier_table("RobertaForSequenceClassification"),
)
