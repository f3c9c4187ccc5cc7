"""T5, Marian and BART both ways, against tiny random models of transformers."""

import json

import numpy as np
import pytest
import safetensors.numpy

from jaxlm import pretrained
from tests.pretrained.parity_seq2seq import (
    SIDES,
    T5_SIZES,
    assert_parity,
    imported,
    leaves,
    random_model,
    transformers,
)
from tests.tokenizers.test_marian import write

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
    assert pair.config.decoder.start_id == 0


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


def test_folders_open_whose_config_leaves_something_to_their_tensors(tmp_path):
    """Flan-T5 saved again by transformers, which calls its head tied; BART without a bias of the logits."""
    config = transformers.T5Config(**T5_SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    theirs = random_model(transformers.T5ForConditionalGeneration, config, own_head=True)
    pair = imported(theirs, tmp_path / "t5")
    loaded = pretrained.load(tmp_path / "t5")
    assert pair.values["tie_word_embeddings"] and not loaded.config.tie_embeddings
    np.testing.assert_array_equal(loaded.params["head"]["decode"]["kernel"], pair.tensors["lm_head.weight"])
    assert pretrained.inspect(tmp_path / "t5").shapes["head.decode.kernel"] == (13, 16)

    bart = imported(
        random_model(transformers.BartForConditionalGeneration, transformers.BartConfig(**SIDES)),
        tmp_path / "bart",
    )
    bare = {name.removeprefix("model."): tensor for name, tensor in bart.tensors.items()}
    del bare["final_logits_bias"]
    safetensors.numpy.save_file(bare, tmp_path / "bart/model.safetensors", {"format": "pt"})
    loaded = pretrained.load(tmp_path / "bart")
    assert not loaded.params["head"]["decode"]["bias"].any()
    kernel = loaded.params["encoder"]["embeddings"]["token"]["embedding"]
    np.testing.assert_array_equal(kernel, bare["shared.weight"])


def test_rules_of_generation_and_both_sides_pieces_go_along(tmp_path):
    config = transformers.MarianConfig(**{**SIDES, "forced_eos_token_id": 2})
    imported(random_model(transformers.MarianMTModel, config), tmp_path / "marian")
    path = tmp_path / "marian/config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "bad_words_ids": [[1]], "forced_eos_token_id": 2}))
    write(tmp_path / "marian")
    pretrained.convert(tmp_path / "marian", tmp_path / "run")
    assert pretrained.convert(tmp_path / "run", tmp_path / "again") == "MarianMTModel"
    again = json.loads((tmp_path / "again/config.json").read_text())
    assert (again["bad_words_ids"], again["forced_eos_token_id"]) == ([[1]], 2)
    loaded = pretrained.load(tmp_path / "marian")
    assert pretrained.load(tmp_path / "run").tokenizer == loaded.tokenizer
    for name in ("source.spm", "target.spm", "vocab.json"):
        before, behind = ((tmp_path / place / name).read_bytes() for place in ("marian", "again"))
        assert before == behind
    settings = json.loads((tmp_path / "again/tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "MarianTokenizer"
