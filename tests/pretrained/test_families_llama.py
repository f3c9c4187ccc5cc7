"""Llama, Mistral, Qwen2 and Qwen3 both ways, against tiny random models of transformers."""

import pytest

from tests.pretrained.parity import assert_parity, imported, transformers

SIZES = {
    "vocab_size": 13,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 1,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 8}
LLAMA = {
    "plain": {},
    "tied": {"tie_word_embeddings": True, "rms_norm_eps": 1e-3, "num_key_value_heads": 4},
    "biases": {"attention_bias": True, "head_dim": 6, "rope_parameters": {"rope_theta": 100.0}},
    "mlp biases": {"mlp_bias": True, "hidden_act": "gelu", "rope_parameters": {"rope_theta": 50.0}},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}},
    "llama3": {"rope_parameters": LLAMA3},
    "yarn": {"rope_parameters": YARN},
    "yarn by weights": {"rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.5, "truncate": False}},
    "dynamic": {
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0},
        "max_position_embeddings": 7,
    },
}
QWEN = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "window": {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
}


@pytest.mark.parametrize("options", LLAMA.values(), ids=LLAMA)
def test_llama(tmp_path, options):
    config = transformers.LlamaConfig(**{**SIZES, **options}, attn_implementation="eager")
    # "dynamic" takes the padded length for that of every text.
    dynamic = options.get("rope_parameters", {}).get("rope_type") == "dynamic"
    assert_parity(transformers.LlamaForCausalLM, config, tmp_path, alone=dynamic)


@pytest.mark.parametrize("options", [{"sliding_window": 3}, {"sliding_window": None, "head_dim": 6}])
def test_mistral(tmp_path, options):
    config = transformers.MistralConfig(**SIZES, **options, attn_implementation="eager")
    pair = assert_parity(transformers.MistralForCausalLM, config, tmp_path)
    assert pair.config.window == options["sliding_window"]


@pytest.mark.parametrize("options", QWEN.values(), ids=QWEN)
def test_qwen2(tmp_path, options):
    config = transformers.Qwen2Config(**SIZES, **options, attn_implementation="eager")
    pair = assert_parity(transformers.Qwen2ForCausalLM, config, tmp_path)
    if "sliding_window" in options:
        assert [pair.config.has_window(layer) for layer in range(2)] == [False, True]


@pytest.mark.parametrize("options", [*QWEN.values(), {"attention_bias": True}], ids=[*QWEN, "biases"])
def test_qwen3(tmp_path, options):
    config = transformers.Qwen3Config(**SIZES, **options, head_dim=6, attn_implementation="eager")
    assert_parity(transformers.Qwen3ForCausalLM, config, tmp_path)


def test_older_files_say_rotary_positions_otherwise(tmp_path):
    pair = imported(
        transformers.LlamaForCausalLM, transformers.LlamaConfig(**SIZES, rope_parameters=LLAMA3), tmp_path
    )
    scaling = {name: value for name, value in LLAMA3.items() if name != "rope_theta"}
    older = {name: value for name, value in pair.values.items() if name != "rope_parameters"}
    again = pair.family.config({**older, "rope_theta": 100.0, "rope_scaling": scaling})
    assert again == pair.config
