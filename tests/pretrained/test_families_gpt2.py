"""GPT-2 both ways, against tiny random models of transformers."""

import pytest

from tests.pretrained.parity import assert_parity, transformers

SIZES = {"vocab_size": 13, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 12}
SWITCHES = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "unscaled": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    "narrow": {"n_inner": 24, "activation_function": "relu", "layer_norm_epsilon": 1e-3},
}


def config(**options):
    return transformers.GPT2Config(**SIZES, **options, attn_implementation="eager")


@pytest.mark.parametrize("options", SWITCHES.values(), ids=SWITCHES)
def test_parity(tmp_path, options):
    pair = assert_parity(transformers.GPT2LMHeadModel, config(**options), tmp_path)
    assert pair.config.tie_embeddings == options.get("tie_word_embeddings", True)


def test_names_without_prefix_and_masks(tmp_path):
    """The files that OpenAI's GPT-2 came in: no prefix, and the causal mask among the tensors."""
    pair = assert_parity(transformers.GPT2LMHeadModel, config(), tmp_path)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in pair.tensors.items()}
    names = pair.family.names(pair.config, [*bare, "h.0.attn.bias", "h.1.attn.masked_bias", "lm_head.weight"])
    assert set(names.found) == set(pair.tensors) and set(names.found.values()) == set(bare)
    assert set(names.unused) == {"h.0.attn.bias", "h.1.attn.masked_bias"}
    assert names.repeated == {"lm_head.weight": "transformer.wte.weight"}
