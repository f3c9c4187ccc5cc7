import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import models

CONTRADICTIONS = [
    ({"width": 96, "num_heads": 5}, "width must be a multiple of num_heads: got width=96, num_heads=5"),
    (
        {"num_heads": 4, "num_kv_heads": 3},
        "num_kv_heads must divide num_heads: got num_kv_heads=3, num_heads=4",
    ),
    ({"position": "rotary", "head_width": 5}, "got head_width=5, use even"),
    ({"position": "rotary", "width": 12, "num_heads": 4}, "got head_width=3, use even"),
    ({"position": "instruction", "vocab_size": 9}, "position='instruction' needs next_id"),
    (
        {"position": models.Instruction(next_id=9), "vocab_size": 9},
        "got position.next_id=9, vocab_size=9",
    ),
    (
        {"decoder": models.DecoderConfig(start_id=9), "vocab_size": 9},
        "decoder.start_id must be an id .* vocab_size=9",
    ),
    ({"window": 0}, "window must be positive: got 0"),
    ({"depth": -1}, "depth must be positive: got -1"),
    ({"norm_epsilon": 0.0}, "norm_epsilon must be positive: got 0.0"),
    ({"embedding_scale": float("nan")}, "embedding_scale must be positive: got nan"),
    ({"mlp_dropout": 1.0}, "mlp_dropout must be a rate in \\[0, 1\\): got 1.0"),
    ({"final_norm": True, "norm_placement": "post"}, "would normalise twice"),
    ({"require_fused": True, "attention_implementation": "xla"}, "require_fused=True contradicts"),
    ({"embedding_norm_epsilon": 1e-3}, "embedding_norm_epsilon needs embedding_norm=True"),
    ({"token_types": -1}, "token_types must not be negative: got -1"),
    ({"position": models.Rotary(share=0.01)}, "position.share turns pairs .* 0 of 64; use a share"),
    ({"position": models.Rotary(share=1.5)}, "position.share turns pairs .* 96 of 64; use a share"),
    (
        {"position": models.Rotary(scaling="dynamic"), "head_width": 2},
        "got one pair, 2 of head_width=2",
    ),
    ({"layer_pattern": "wx"}, "layer_pattern is a word of w"),
    ({"layer_pattern": ""}, "layer_pattern is a word of w"),
    ({"first_norm": False, "norm_placement": "post"}, "first_norm=False leaves out"),
    ({"first_norm": False, "scan_layers": True}, "first_norm=False makes the first block unlike"),
    ({"parallel_residual": True, "norm_placement": "sandwich"}, "parallel_residual=True needs"),
    ({"token_dropout": True}, "token_dropout=True needs mask_id"),
]


@pytest.mark.parametrize(("options", "message"), CONTRADICTIONS)
def test_a_contradiction_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        models.TransformerConfig(**options)
    assert "\n" not in str(caught.value)


WRONG_TYPES = [
    (
        {"activation": "tanh"},
        "activation must be one of gelu, gelu_tanh, relu, silu, swiglu, geglu, geglu_tanh: got 'tanh'",
    ),
    ({"dtype": "float16"}, "dtype must be one of float32, bfloat16: got 'float16'"),
    ({"width": "64"}, "width must be int: got '64'"),
    ({"width": True}, "width must be int: got True"),
    ({"num_kv_heads": 1.0}, "num_kv_heads must be int or None: got 1.0"),
    ({"causal": 1}, "causal must be bool: got 1"),
    ({"mlp_dropout": None}, "mlp_dropout must be float: got None"),
]


@pytest.mark.parametrize(("values", "message"), WRONG_TYPES)
def test_a_wrong_type_in_a_file_is_one_line(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        models.from_dict(values)
    assert "\n" not in str(caught.value)


def test_what_follows_from_other_fields():
    config = models.TransformerConfig(width=60, num_heads=3, use_bias=False).resolved()
    follows = (config.num_kv_heads, config.head_width, config.mlp_width, config.final_norm, config.qkv_bias)
    assert follows == (3, 20, 240, True, False)
    assert (config.head.activation, config.head.epsilon) == ("gelu", 1e-5)
    assert config.embedding_norm_epsilon is None
    assert config.resolved() == config


@pytest.mark.parametrize(("width", "mlp_width"), [(768, 2048), (769, 2112), (24, 64), (4096, 10944)])
def test_a_gated_width_is_a_multiple_of_64(width, mlp_width):
    assert (
        models.TransformerConfig(width=width, num_heads=1, activation="geglu").resolved().mlp_width
        == mlp_width
    )


def test_what_is_set_is_kept():
    config = models.TransformerConfig(qkv_bias=True, use_bias=False, num_kv_heads=2, mlp_width=100)
    assert (
        config.resolved().qkv_bias
        and config.resolved().num_kv_heads == 2
        and config.resolved().mlp_width == 100
    )
    assert models.TransformerConfig(norm_placement="post").resolved().final_norm is False


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "vocab_size": st.none() | st.integers(1, 10**6),
            "depth": st.integers(1, 200),
            "norm_epsilon": st.floats(1e-12, 1e-3),
            "activation": st.sampled_from(["gelu", "gelu_tanh", "relu", "swiglu", "geglu"]),
            "embedding_dropout": st.floats(0, 0.99),
            "scan_layers": st.booleans(),
        },
    )
)
@settings(max_examples=50, deadline=None)
def test_json_and_back(options):
    config = models.TransformerConfig(**options)
    assert models.from_dict(json.loads(json.dumps(models.to_dict(config)))) == config


def test_unknown_fields_are_all_named_in_one_line():
    with pytest.raises(
        ValueError, match="the model's config has no fields 'n_embd', 'n_layer'; its fields are"
    ) as caught:
        models.from_dict({"n_embd": 3, "width": 8, "n_layer": 2})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", models.PRESETS)
def test_presets_vary_by_replace_and_survive_json(name):
    config = dataclasses.replace(models.PRESETS[name], vocab_size=100)
    assert models.from_dict(models.to_dict(config)) == config
