"""BERT."""

from jaxlm import models
from jaxlm.pretrained._activations import ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, Fields, SourceModules
from jaxlm.pretrained._sequence_heads import SequenceHeadTable, read_pooler, write_dropout

# Post-norm, normalised embeddings, and a transform in front of the output.
BERT_ENCODER = {
    "norm_placement": "post",
    "embedding_norm": True,
}
SIZES = (
    Attribute("hidden_size", ("width",), 768),
    Attribute("num_hidden_layers", ("depth",), 12),
    Attribute("num_attention_heads", ("num_heads",), 12),
    Attribute("intermediate_size", ("mlp_width",), 3072),
    Attribute("attention_probs_dropout_prob", ("attention_dropout",), 0.1),
    Attribute("layer_norm_eps", ("norm_epsilon",), 1e-12),
    Attribute("initializer_range", ("init_std",), 0.02),
    Attribute("tie_word_embeddings", ("tie_embeddings",), True),
)
DROPOUT_ATTRIBUTE = Attribute(
    "hidden_dropout_prob", ("embedding_dropout", "attention_output_dropout", "mlp_dropout"), 0.1
)
# BERT can also be the decoder of another encoder, which is another model.
NO_DECODER = {"add_cross_attention": (False, None), "is_decoder": (False, None)}
# The first BERTs were written by TensorFlow.
FIRST_NAMES = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))


def layers(layer: str) -> dict[str, str | SourceModules]:
    """Returns the tensors of a block as in BERT; `layer` is the name of a block in the file."""
    attention = f"{layer}.attention.self"
    return {
        "body.block.attention.qkv": SourceModules(
            (f"{attention}.query", f"{attention}.key", f"{attention}.value")
        ),
        "body.block.attention.output": f"{layer}.attention.output.dense",
        "body.block.attention_norm": f"{layer}.attention.output.LayerNorm",
        "body.block.mlp.up": f"{layer}.intermediate.dense",
        "body.block.mlp.down": f"{layer}.output.dense",
        "body.block.mlp_norm": f"{layer}.output.LayerNorm",
    }


def write_types(config: models.TransformerConfig) -> Fields:
    """Returns the number of token types; transformers always has at least one."""
    return {"type_vocab_size": max(config.token_types, 1)}


BERT = Family(
    name="bert",
    architecture="BertForMaskedLM",
    body_architecture="BertModel",
    kind=models.MASKED_LM,
    constants=BERT_ENCODER,
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 30522),
        Attribute("max_position_embeddings", ("max_length",), 512),
        Attribute("type_vocab_size", ("token_types",), 2),
        Attribute("hidden_act", ("activation",), "gelu", ACTIVATIONS),
        *SIZES,
        DROPOUT_ATTRIBUTE,
    ),
    inert=frozenset(
        [
            "directionality",
            "pooler_fc_size",
            "pooler_num_attention_heads",
            "pooler_num_fc_layers",
            "pooler_size_per_head",
            "pooler_type",
        ]
    ),
    only={**NO_DECODER, "position_embedding_type": ("absolute", None)},
    write=write_types,
    tensors={
        "body.embeddings.token": "bert.embeddings.word_embeddings",
        "body.embeddings.position": "bert.embeddings.position_embeddings",
        "body.embeddings.type": "bert.embeddings.token_type_embeddings",
        "body.embeddings.norm": "bert.embeddings.LayerNorm",
        **layers("bert.encoder.layer.{layer}"),
        "head.transform": "cls.predictions.transform.dense",
        "head.norm": "cls.predictions.transform.LayerNorm",
        "head.decode.kernel": "cls.predictions.decoder.weight",
        "head.decode.bias": "cls.predictions.bias",
    },
    prefix="bert.",
    head=("cls.predictions.",),
    aliases=FIRST_NAMES,
    unused=(r"bert\.embeddings\.position_ids",),
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    untied={"head.decode.bias": "cls.predictions.decoder.bias"},
    sequences=SequenceHeadTable(
        "BertForSequenceClassification",
        {"head.layer_0": "bert.pooler.dense", "head.output": "classifier"},
        ("classifier.",),
        read_pooler,
        write_dropout,
    ),
)
