"""The tables: what they refuse, what they write, and which family holds a model of ours."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops
from jaxlm.pretrained._families import FAMILIES, family_for, family_of
from jaxlm.pretrained._relatives import _BY_TYPE, _plainly
from jaxlm.pretrained._rows import file_shapes, to_file_tensors, to_parameter

# The smallest config.json of each family: sizes alone, everything else as transformers takes it.
DECODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
GROUPED = {**DECODER, "num_key_value_heads": 2, "head_dim": 6}
SIDES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "decoder_start_token_id": 0,
}
SIZES = {
    "bert": DECODER,
    "roberta": DECODER,
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24},
    "esm": {**DECODER, "position_embedding_type": "rotary", "token_dropout": True, "mask_token_id": 12},
    "modernbert": DECODER,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4},
    "gpt_neox": {**DECODER, "hidden_size": 32},
    "t5": {"d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 4},
    **dict.fromkeys(("marian", "bart"), SIDES),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"), GROUPED),
}


def values_of(name, **options):
    return {"model_type": name, "vocab_size": 13, **SIZES[name], **options}


def test_every_family_is_tried():
    assert SIZES.keys() == FAMILIES.keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_config_survives_its_config_json(name):
    family = FAMILIES[name]
    config = family.config(values_of(name))
    written = family.config_json(config)
    assert family_of(written) is family
    assert family.config(written).resolved() == dataclasses.replace(config, dtype="float32").resolved()
    # Some are special cases of another, which then holds them just as well.
    assert family_for(config, family.kind).name in (name, "llama", "qwen3")


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_are_there_and_back(name):
    family = FAMILIES[name]
    config = family.config(values_of(name))
    rows = family.rows(config)
    assert len({row.ours for row in rows}) == len(rows) > 10
    names = [their for row in rows for their in row.theirs]
    assert len(set(names)) == len(names)
    for row in rows:
        ours = np.arange(np.prod(row.shape), dtype=np.float32).reshape(row.shape)
        theirs = to_file_tensors(row, ours)
        assert [part.shape for part in theirs] == file_shapes(row)
        np.testing.assert_array_equal(to_parameter(row, theirs), ours)
    found = family.names(config, names)
    assert found.found == dict(zip(names, names, strict=True)) and not found.unused


@pytest.mark.parametrize("name", FAMILIES)
def test_scanned_models_have_the_same_tensors(name):
    config = FAMILIES[name].config(values_of(name))
    if config.first_norm:
        assert FAMILIES[name].rows(dataclasses.replace(config, scan_layers=True)) == FAMILIES[name].rows(
            config
        )


@pytest.mark.long
@pytest.mark.parametrize("name", FAMILIES)
def test_forward_mode_agrees_with_the_gradient(name):
    config = dataclasses.replace(FAMILIES[name].config(values_of(name)), dtype="float32", init_std=0.3)
    model = models.build(config, FAMILIES[name].kind)
    tokens = jnp.array([[3, 1, 4, 1, 5, 9]])
    params = jax.jit(model.init)(jax.random.key(0), tokens)["params"]
    source = models.Inputs(tokens=tokens) if isinstance(model, models.Seq2SeqLM) else None

    def loss(params):
        hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, encoder=source)).hidden[0]
        features = model.apply({"params": params}, hidden, method="features")
        weights = model.apply({"params": params}, method="output_weights")
        softcap = model.apply({"params": params}, method="output_softcap")
        return ops.token_log_probs(features, *weights, tokens[0], softcap=softcap).sum()

    free = ops.derivatives("any")(loss)
    along = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    trained, gradient = jax.jit(lambda params: (jax.grad(loss)(params), jax.grad(free)(params)))(params)
    slope = jax.jit(lambda params: jax.jvp(free, (params,), (along,))[1])(params)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(trained))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * largest), gradient, trained
    )
    terms = np.concatenate(
        [leaf.ravel() for leaf in jax.tree.leaves(jax.tree.map(np.multiply, trained, along))]
    )
    assert abs(slope - terms.sum(dtype=np.float64)) < 1e-5 * np.abs(terms).sum(dtype=np.float64)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_attribute_that_is_not_supported_is_named(name):
    values = values_of(name, per_layer_config={"0": {}}, use_mrope=True, quantization_config={"bits": 4})
    values |= {"temperature": 0.5, "attribute_map": {}, "chunks": 3}
    with pytest.raises(ValueError, match="attributes that are not supported") as caught:
        FAMILIES[name].config(values)
    message = str(caught.value)
    assert "\n" not in message and "temperature" not in message and "chunks" not in message
    told = ("use_mrope=True (only False or None)", "per_layer_config", "{'bits': 4}", "attribute_map={}")
    assert all(words in message for words in told)


REFUSED = [
    ("bert", {"hidden_act": "silu"}, r"hidden_act='silu' \(known are 'gelu'"),
    ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
    ("esm", {"is_folding_model": True}, "is_folding_model=True"),
    ("esm", {"mask_token_id": None}, "token_dropout=True needs mask_id"),
    ("llama", {"rope_scaling": {"rope_type": "longrope"}}, "rope_type='longrope'"),
    (
        "llama",
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "low_freq_factor": 1}},
        "low_freq_factor=1",
    ),
    ("llama", {"rope_scaling": {"rope_type": "linear"}}, "rope_type='linear' without factor"),
    ("llama", {"rope_scaling": "linear"}, "another type than the family's"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
    ("gemma2", {"hidden_size": "16"}, "another type than the family's"),
    ("llama", {"num_key_value_heads": 3}, "num_kv_heads must divide num_heads"),
    ("llama", {"hidden_size": "16"}, "width must be int"),
    ("qwen2", {"use_sliding_window": True, "layer_types": ["chunked_attention"] * 2}, "'chunked_attention'"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention=True"),
    ("gemma3_text", {"attn_logit_softcapping": 5.0}, "attn_logit_softcapping=5.0"),
    (
        "gemma3_text",
        {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
        "in blocks with a window",
    ),
    ("t5", {"feed_forward_proj": "gated-relu"}, r"feed_forward_proj='gated-relu' \(known are 'relu'"),
    ("t5", {"relative_attention_max_distance": 16}, "position.distance lies beyond the distances"),
    ("marian", {"decoder_attention_heads": 8}, r"decoder_attention_heads=8 \(only 4, as the encoder\)"),
    ("marian", {"decoder_vocab_size": 7}, r"decoder_vocab_size=7 \(only 13, as the encoder\)"),
    ("marian", {"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings=False"),
    ("marian", {"normalize_before": True}, r"normalize_before=True \(only False"),
    ("bart", {"tie_word_embeddings": False}, r"tie_word_embeddings=False \(only True\)"),
    ("modernbert", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling of all blocks"),
]


def test_all_that_is_refused_is_told_at_once():
    options = {"hidden_act": "quick_gelu", "is_causal": False, "rope_scaling": {"rope_type": "longrope"}}
    told = r"is_causal=False \(only True\), hidden_act='quick_gelu' .*, rope_type='longrope' in rope_scaling"
    with pytest.raises(ValueError, match=told):
        FAMILIES["llama"].config(values_of("llama", **options))


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_what_has_no_equal_here_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        FAMILIES[name].config(values_of(name, **options))
    assert "\n" not in str(caught.value) and f"config.json of {name}" in str(caught.value)


def test_unknown_families_are_told_the_known_ones():
    with pytest.raises(ValueError, match=r"model_type='mamba', .*: the families are bart, .*t5$"):
        family_of({"model_type": "mamba"})
    with pytest.raises(
        ValueError, match=r"architectures=\['MambaForCausalLM'\], which is not supported: the"
    ):
        family_of({"architectures": ["MambaForCausalLM"]})


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_without_a_type_is_known_by_its_class(name):
    """As the files of 2019 were written, whatever head their model had."""
    family = FAMILIES[name]
    body = re.sub("(For|LMHead|MTM).*", "", family.architecture)
    for head in ("Model", "ForSequenceClassification", "ForTokenClassification"):
        assert family_of({"architectures": [body + head]}) is family
    assert family_of({"architectures": [family.architecture], "model_type": None}) is family
    assert family_of({"architectures": family.architecture}) is family


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_without_type_and_class_says_what_is_missing(name):
    values = {attribute.theirs: attribute.default for attribute in FAMILIES[name].attributes}
    with pytest.raises(ValueError, match='it has no "model_type" and no "architectures"; add') as caught:
        family_of(values)
    assert re.search(rf"by its other names [a-z0-9_ ]*\b{name}\b", str(caught.value))


RELATIVES = {
    "electra": "bert",
    "xlm-roberta": "roberta",
    "camembert": "roberta",
    "gpt_neo": "gpt2",
    "opt": "gpt2",
    "gptj": "gpt_neox",
    "gemma": "gemma2",
    "mixtral": "mistral",
    "mt5": "t5",
    "mbart": "bart",
    "pegasus": "marian",
    "esmc": "esm",
    "modernbert-decoder": "modernbert",
}


@pytest.mark.parametrize(("kind", "nearest"), RELATIVES.items())
def test_an_unsupported_family_names_its_nearest_relative(kind, nearest):
    told = rf"model_type='{kind}', which is not supported: its nearest relative here is {nearest}; the fam"
    with pytest.raises(ValueError, match=told):
        family_of({"model_type": kind})


def test_relatives_are_known_by_their_classes_too():
    with pytest.raises(ValueError, match="its nearest relative here is roberta"):
        family_of({"architectures": ["XLMRobertaForMaskedLM"]})
    assert not set(_BY_TYPE) & set(map(_plainly, FAMILIES)) and set(_BY_TYPE.values()) <= FAMILIES.keys()


ENCODER = {"norm_placement": "post", "embedding_norm": True, "vocab_size": 9}
OURS = [
    ("gpt2", {"causal": True, "head": "linear", "head_bias": False, "vocab_size": 9}),
    ("bert", {**ENCODER, "token_types": 2, "scan_layers": True}),
    ("distilbert", {**ENCODER, "norm_epsilon": 1e-12}),
    ("roberta", {**ENCODER, "token_types": 1, "position": models.Learned(offset=2)}),
    (
        "llama",
        {
            "causal": True,
            "position": "rotary",
            "norm": "rms",
            "activation": "swiglu",
            "use_bias": False,
            "head": "linear",
            "head_bias": False,
            "vocab_size": 9,
            "mlp_dropout": 0.1,
        },
    ),
    ("esm", {"position": "rotary", "vocab_size": 9}),
]


@pytest.mark.parametrize(("name", "options"), OURS)
def test_what_jaxlm_trained_goes_back(name, options):
    objective = "causal_lm" if options.get("causal") else "masked_lm"
    assert family_for(models.TransformerConfig(**options), objective).name == name


def test_what_no_architecture_holds_is_named():
    config = models.TransformerConfig(
        vocab_size=9, causal=True, position=models.Instruction(next_id=5), head="linear", head_bias=False
    )
    with pytest.raises(ValueError, match=r"the nearest, GPT2LMHeadModel, has no position='instruction'$"):
        family_for(config, "causal_lm")
    with pytest.raises(ValueError, match="got a regression"):
        family_for(config, "regression")


def test_interleaved_heads_are_sorted_by_role():
    family = FAMILIES["gpt_neox"]
    config = family.config(values_of("gpt_neox"))
    row = next(row for row in family.rows(config) if row.ours == "body.block_00.attention.qkv.bias")
    # Of 4 heads of 8: query, key and value of the first, of the second, ...
    theirs = np.array([f"{role}{head}" for head in range(4) for role in "qkv" for _ in range(8)])
    ours = to_parameter(row, [theirs])
    assert ours.tolist() == [f"{role}{head}" for role in "qkv" for head in range(4) for _ in range(8)]
