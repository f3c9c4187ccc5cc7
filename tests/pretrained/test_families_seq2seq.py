"""T5, Marian and BART both ways, against tiny random models of transformers."""

import pytest

from tests.pretrained.parity_seq2seq import (
    SIDES,
    T5_SIZES,
    assert_parity,
    imported,
    leaves,
    random_model,
    transformers,
)

T5 = {
    "first": {},
    "gated, its own head": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "wide": {
        "feed_forward_proj": "gated-silu",
        "layer_norm_epsilon": 1e-3,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "num_decoder_layers": 3,
    },
}
MARIAN = {
    "plain": {},
    "scaled": {"scale_embedding": True, "activation_function": "swish"},
}


@pytest.mark.parametrize("options", T5.values(), ids=T5)
def test_t5(tmp_path, options):
    config = transformers.T5Config(**{**T5_SIZES, **options})
    own_head = options.get("tie_word_embeddings") is False
    theirs = random_model(transformers.T5ForConditionalGeneration, config, own_head=own_head)
    pair = assert_parity(theirs, tmp_path)
    assert pair.config.tie_embeddings != own_head
    assert pair.config.output_scale == (1.0 if own_head else 0.25)
    assert pair.config.decoder_start_id == 0


def test_a_head_of_1_1_is_tied_where_it_has_no_kernel(tmp_path):
    config = transformers.T5Config(**T5_SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    pair = assert_parity(random_model(transformers.T5ForConditionalGeneration, config), tmp_path)
    assert pair.config.tie_embeddings and pair.config.output_scale == 1.0


@pytest.mark.parametrize("options", MARIAN.values(), ids=MARIAN)
def test_marian(tmp_path, options):
    config = transformers.MarianConfig(**{**SIDES, **options})
    pair = assert_parity(random_model(transformers.MarianMTModel, config), tmp_path)
    assert pair.config.embedding_scale == (4.0 if "scale_embedding" in options else 1.0)


@pytest.mark.parametrize("options", [{}, {"scale_embedding": True, "activation_function": "relu"}], ids=str)
def test_bart(tmp_path, options):
    config = transformers.BartConfig(**{**SIDES, **options})
    pair = assert_parity(random_model(transformers.BartForConditionalGeneration, config), tmp_path)
    assert "decoder.embeddings.norm.scale" in leaves(pair.params)


def test_names_that_files_repeat_leave_out_or_do_not_need(tmp_path):
    config = transformers.T5Config(**T5_SIZES)
    pair = imported(random_model(transformers.T5ForConditionalGeneration, config), tmp_path / "t5")
    repeated = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
    idle = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    names = pair.family.names(pair.config, [*pair.tensors, *repeated, idle])
    assert names.repeated == dict.fromkeys(repeated, "shared.weight") and names.unused == (idle,)
    others = [name for name in pair.tensors if name != "shared.weight"]
    names = pair.family.names(pair.config, [*others, "decoder.embed_tokens.weight", "lm_head.weight"])
    assert names.found["shared.weight"] == "decoder.embed_tokens.weight"
    assert names.repeated == {"lm_head.weight": "shared.weight"}

    config = transformers.BartConfig(**SIDES)
    pair = imported(random_model(transformers.BartForConditionalGeneration, config), tmp_path / "bart")
    bare = [name.removeprefix("model.") for name in pair.tensors if name != "final_logits_bias"]
    names = pair.family.names(pair.config, bare)
    assert set(names.found) == set(pair.tensors) - pair.family.zeros
