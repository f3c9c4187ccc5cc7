"""DistilBERT."""

from jaxlm import models
from jaxlm.pretrained._activations import ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, SourceModules
from jaxlm.pretrained._family_bert import BERT_ENCODER
from jaxlm.pretrained._sequence_heads import (
    SequenceHeadTable,
    read_distilbert_head,
    write_distilbert_head,
)

DISTIL_LAYER = "distilbert.transformer.layer.{layer}"

DISTILBERT = Family(
    name="distilbert",
    architecture="DistilBertForMaskedLM",
    body_architecture="DistilBertModel",
    kind=models.MASKED_LM,
    constants={**BERT_ENCODER, "norm_epsilon": 1e-12},
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 30522),
        Attribute("max_position_embeddings", ("max_length",), 512),
        Attribute("n_layers", ("depth",), 6),
        Attribute("n_heads", ("num_heads",), 12),
        Attribute("dim", ("width",), 768),
        Attribute("hidden_dim", ("mlp_width",), 3072),
        Attribute("dropout", ("embedding_dropout", "mlp_dropout"), 0.1),
        Attribute("attention_dropout", ("attention_dropout",), 0.1),
        Attribute("activation", ("activation",), "gelu", ACTIVATIONS),
        Attribute("initializer_range", ("init_std",), 0.02),
        Attribute("tie_word_embeddings", ("tie_embeddings",), True),
    ),
    synonyms={"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
    # How a new table of positions would be filled; the file has one.
    inert=frozenset({"sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_"}),
    tensors={
        "body.embeddings.token": "distilbert.embeddings.word_embeddings",
        "body.embeddings.position": "distilbert.embeddings.position_embeddings",
        "body.embeddings.norm": "distilbert.embeddings.LayerNorm",
        "body.block.attention.qkv": SourceModules(
            tuple(f"{DISTIL_LAYER}.attention.{role}_lin" for role in "qkv")
        ),
        "body.block.attention.output": f"{DISTIL_LAYER}.attention.out_lin",
        "body.block.attention_norm": f"{DISTIL_LAYER}.sa_layer_norm",
        "body.block.mlp.up": f"{DISTIL_LAYER}.ffn.lin1",
        "body.block.mlp.down": f"{DISTIL_LAYER}.ffn.lin2",
        "body.block.mlp_norm": f"{DISTIL_LAYER}.output_layer_norm",
        "head.transform": "vocab_transform",
        "head.norm": "vocab_layer_norm",
        "head.decode.kernel": "vocab_projector.weight",
        "head.decode.bias": "vocab_projector.bias",
    },
    prefix="distilbert.",
    head=("vocab_",),
    unused=(r"distilbert\.embeddings\.position_ids",),
    tied={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    sequences=SequenceHeadTable(
        "DistilBertForSequenceClassification",
        {"head.layer_0": "pre_classifier", "head.output": "classifier"},
        ("pre_classifier.", "classifier."),
        read_distilbert_head,
        write_distilbert_head,
    ),
)
