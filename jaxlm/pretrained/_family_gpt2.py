"""GPT-2."""

from jaxlm import models
from jaxlm.pretrained._activations import ACTIVATIONS
from jaxlm.pretrained._attributes import Attribute
from jaxlm.pretrained._family import Family, SourceModules
from jaxlm.pretrained._sequence_heads import last_token_table

GPT2 = Family(
    name="gpt2",
    architecture="GPT2LMHeadModel",
    body_architecture="GPT2Model",
    kind=models.CAUSAL_LM,
    constants={"causal": True, "head.kind": "linear", "head_bias": False},
    attributes=(
        Attribute("vocab_size", ("vocab_size",), 50257),
        Attribute("n_positions", ("max_length",), 1024),
        Attribute("n_embd", ("width",), 768),
        Attribute("n_layer", ("depth",), 12),
        Attribute("n_head", ("num_heads",), 12),
        Attribute("n_inner", ("mlp_width",), None),
        Attribute("activation_function", ("activation",), "gelu_new", ACTIVATIONS),
        Attribute("resid_pdrop", ("attention_output_dropout", "mlp_dropout"), 0.1),
        Attribute("embd_pdrop", ("embedding_dropout",), 0.1),
        Attribute("attn_pdrop", ("attention_dropout",), 0.1),
        Attribute("layer_norm_epsilon", ("norm_epsilon",), 1e-5),
        Attribute("initializer_range", ("init_std",), 0.02),
        Attribute("scale_attn_weights", ("attention_scale",), True, {True: None, False: 1.0}),
        Attribute("scale_attn_by_inverse_layer_idx", ("attention_scale_by_layer",), False),
        Attribute("tie_word_embeddings", ("tie_embeddings",), True),
    ),
    synonyms={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
    only={"add_cross_attention": (False, None)},
    inert=frozenset(
        [
            # Of the heads for classes and for choices, and of the first files.
            "hidden_dropout",
            "summary_last_dropout",
            "n_ctx",
            "reorder_and_upcast_attn",
            "summary_type",
            "summary_use_proj",
            "summary_activation",
            "summary_proj_to_labels",
            "summary_first_dropout",
        ]
    ),
    tensors={
        "body.embeddings.token": "transformer.wte",
        "body.embeddings.position": "transformer.wpe",
        "body.block.attention_norm": "transformer.h.{layer}.ln_1",
        "body.block.attention.qkv.kernel": SourceModules(
            ("transformer.h.{layer}.attn.c_attn.weight",), "transposed"
        ),
        "body.block.attention.qkv.bias": "transformer.h.{layer}.attn.c_attn.bias",
        "body.block.attention.output.kernel": SourceModules(
            ("transformer.h.{layer}.attn.c_proj.weight",), "transposed"
        ),
        "body.block.attention.output.bias": "transformer.h.{layer}.attn.c_proj.bias",
        "body.block.mlp_norm": "transformer.h.{layer}.ln_2",
        "body.block.mlp.up.kernel": SourceModules(("transformer.h.{layer}.mlp.c_fc.weight",), "transposed"),
        "body.block.mlp.up.bias": "transformer.h.{layer}.mlp.c_fc.bias",
        "body.block.mlp.down.kernel": SourceModules(
            ("transformer.h.{layer}.mlp.c_proj.weight",), "transposed"
        ),
        "body.block.mlp.down.bias": "transformer.h.{layer}.mlp.c_proj.bias",
        "body.final_norm": "transformer.ln_f",
        "head.decode": "lm_head",
    },
    prefix="transformer.",
    head=("lm_head.",),
    unused=(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",),  # the causal mask
    tied={"lm_head.weight": "transformer.wte.weight"},
    sequences=last_token_table("GPT2ForSequenceClassification"),
)
