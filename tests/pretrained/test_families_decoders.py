"""GPT-NeoX, Gemma 2 and Gemma 3 both ways, against tiny random models of transformers."""

import pytest

from tests.pretrained.parity import assert_parity, imported, transformers

SIZES = {
    "vocab_size": 13,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "attn_implementation": "eager",
}
NEOX = {
    "plain": {},
    "one after the other": {
        "use_parallel_residual": False,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
    "linear": {
        "rope_parameters": {
            "rope_type": "linear",
            "factor": 2.0,
            "rope_theta": 100.0,
            "partial_rotary_factor": 1.0,
        },
        "hidden_act": "gelu_new",
    },
}
GEMMA = {
    "num_key_value_heads": 2,
    "head_dim": 6,
    "pad_token_id": 1,
    "sliding_window": 3,
    "query_pre_attn_scalar": 9,
}
GEMMA2 = {
    "plain": {},
    "without caps": {"attn_logit_softcapping": None, "final_logit_softcapping": None},
    "tight caps": {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "attention_bias": True},
    "untied": {"tie_word_embeddings": False, "hidden_activation": "gelu"},
}
SCALED = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
}
GEMMA3 = {
    "plain": {},
    "apply_softcap": {"final_logit_softcapping": 3.0, "layer_types": ["full_attention"] * 3},
    "scaled": {
        "rope_parameters": SCALED,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
}


@pytest.mark.parametrize("options", NEOX.values(), ids=NEOX)
def test_neox(tmp_path, options):
    config = transformers.GPTNeoXConfig(**{**SIZES, **options})
    pair = assert_parity(transformers.GPTNeoXForCausalLM, config, tmp_path)
    assert pair.config.position.share == (1.0 if "rope_parameters" in options else 0.25)
    assert "embed_out.weight" in pair.tensors or pair.config.tie_embeddings


@pytest.mark.parametrize("options", GEMMA2.values(), ids=GEMMA2)
def test_gemma2(tmp_path, options):
    config = transformers.Gemma2Config(**SIZES, **GEMMA, **options)
    pair = assert_parity(transformers.Gemma2ForCausalLM, config, tmp_path)
    assert [pair.config.has_window(layer) for layer in range(3)] == [True, False, True]


@pytest.mark.parametrize("options", GEMMA3.values(), ids=GEMMA3)
def test_gemma3(tmp_path, options):
    config = transformers.Gemma3TextConfig(**SIZES, **GEMMA, **options)
    assert_parity(transformers.Gemma3ForCausalLM, config, tmp_path)


def test_older_files_of_pythia(tmp_path):
    pair = imported(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig(**SIZES), tmp_path)
    older = {key: value for key, value in pair.values.items() if key != "rope_parameters"}
    assert pair.family.config({**older, "rotary_pct": 0.25, "rotary_emb_base": 10000}) == pair.config
    extra = ["gpt_neox.layers.0.attention.masked_bias", "gpt_neox.layers.1.attention.rotary_emb.inv_freq"]
    assert pair.family.names(pair.config, [*pair.tensors, *extra]).unused == tuple(extra)


def test_older_files_of_gemma3(tmp_path):
    pair = imported(
        transformers.Gemma3ForCausalLM,
        transformers.Gemma3TextConfig(**SIZES, **GEMMA, rope_parameters=SCALED),
        tmp_path,
    )
    older = {
        key: value for key, value in pair.values.items() if key not in ("rope_parameters", "layer_types")
    }
    named = {"rope_theta": 500.0, "rope_local_base_freq": 50.0, "sliding_window_pattern": 6}
    scaling = {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    assert pair.family.config({**older, **named, **scaling}) == pair.config
