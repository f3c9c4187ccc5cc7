"""What jaxlm trained as Hugging Face folders, and back: the same bytes, and logits in transformers."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxlm import models, pretrained, tokenizers

GPT2 = models.TransformerConfig(
    vocab_size=264,
    width=16,
    depth=2,
    num_heads=2,
    max_length=24,
    causal=True,
    activation="gelu_tanh",
    head="linear",
    head_bias=False,
)
BERT = models.TransformerConfig(
    vocab_size=260,
    width=16,
    depth=2,
    num_heads=4,
    max_length=24,
    norm_placement="post",
    embedding_norm=True,
    token_types=2,
)
CASES = {
    "gpt2": (GPT2, "causal_lm", "GPT2LMHeadModel"),
    "gpt2 untied": (dataclasses.replace(GPT2, tie_embeddings=False), "causal_lm", "GPT2LMHeadModel"),
    "scanned": (dataclasses.replace(GPT2, scan_layers=True), "causal_lm", "GPT2LMHeadModel"),
    "bert": (BERT, "masked_lm", "BertForMaskedLM"),
}


def drawn(config, objective):
    model = models.build(config, objective)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.array([[1]]))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype) * 0.3, shapes)
    return pretrained.Loaded(config, objective, model, params, tokenizers.bytes_tokenizer(), {})


def assert_same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def assert_same_bytes(folder, other):
    ours, theirs = (safetensors.numpy.load_file(one / "model.safetensors") for one in (folder, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype and ours[name].tobytes() == theirs[name].tobytes()


@pytest.mark.parametrize(("config", "objective", "kind"), CASES.values(), ids=CASES)
def test_transformers_computes_the_same(tmp_path, config, objective, kind):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    ours = drawn(config, objective)
    assert pretrained.save_huggingface(tmp_path, ours) == kind
    auto = transformers.AutoModelForCausalLM if config.causal else transformers.AutoModelForMaskedLM
    theirs, report = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == kind
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "héllo [MASK] there"
    tokens = np.array([ours.tokenizer.encode(text)])
    assert reader(text, add_special_tokens=False)["input_ids"] == tokens[0].tolist()
    assert (reader.mask_token, reader.pad_token, reader.model_max_length) == ("[MASK]", "[PAD]", 24)
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(tokens)).logits.numpy()
    hidden = ours.model.apply({"params": ours.params}, jnp.asarray(tokens)).hidden
    got = ours.model.apply({"params": ours.params}, hidden, method="logits")
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("config", "objective", "kind"), CASES.values(), ids=CASES)
def test_there_and_back_no_byte_changes(tmp_path, config, objective, kind):
    loaded = drawn(config, objective)
    pretrained.save_model(tmp_path / "run", *loaded[:1], loaded.params, loaded.tokenizer, kind=objective)
    assert pretrained.convert(tmp_path / "run", tmp_path / "there") == kind
    assert pretrained.convert(tmp_path / "there", tmp_path / "back") == "a jaxlm folder"
    assert_same_bytes(tmp_path / "back", tmp_path / "run")
    again = pretrained.load(tmp_path / "back")
    assert again.kind.name == objective and not again.ends and again.tokenizer.kind == "bytes"
    assert pretrained.convert(tmp_path / "back", tmp_path / "again") == kind
    assert_same_bytes(tmp_path / "again", tmp_path / "there")
    assert (tmp_path / "again/config.json").read_text() == (tmp_path / "there/config.json").read_text()


def test_bfloat16_stays_bfloat16(tmp_path):
    config = dataclasses.replace(GPT2, param_dtype="bfloat16", dtype="bfloat16")
    loaded = drawn(config, "causal_lm")
    pretrained.save_huggingface(tmp_path, loaded)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    read = pretrained.load(tmp_path, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(read.params)} == {jnp.dtype("bfloat16")}
    assert_same(read.params, loaded.params)
    assert pretrained.load(tmp_path).config.param_dtype == "float32"


def test_shards_and_their_index(tmp_path):
    loaded = drawn(GPT2, "causal_lm")
    pretrained.save_huggingface(tmp_path, loaded, shard_bytes=6000)
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(shards) > 2 and shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(leaf.nbytes for leaf in jax.tree.leaves(loaded.params))
    assert set(index["weight_map"].values()) == set(shards)
    assert_same(pretrained.load(tmp_path).params, loaded.params)


def test_a_model_that_no_architecture_computes_is_refused_before_anything_is_written(tmp_path):
    config = dataclasses.replace(GPT2, embedding_scale=2.0)
    with pytest.raises(ValueError, match=r"the nearest, .*, has no .*embedding_scale=2\.0") as caught:
        pretrained.save_huggingface(tmp_path / "out", drawn(config, "causal_lm"))
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_folder_that_is_taken_is_left_alone(tmp_path):
    pretrained.save_huggingface(tmp_path / "there", drawn(GPT2, "causal_lm"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/note").touch()
    for out in (tmp_path / "out", tmp_path / "out/note"):
        with pytest.raises(FileExistsError, match="is there and not an empty folder: name another one"):
            pretrained.convert(tmp_path / "there", out)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["note"]


def test_chat_templates_and_ids_go_along(tmp_path):
    pretrained.save_huggingface(tmp_path / "there", drawn(GPT2, "causal_lm"))
    settings = json.loads((tmp_path / "there/tokenizer_config.json").read_text())
    settings |= {"chat_template": "{{ messages }}", "model_max_length": 7}
    (tmp_path / "there/tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "there/generation_config.json").write_text('{"eos_token_id": [3, 4]}')
    values = json.loads((tmp_path / "there/config.json").read_text())
    assert values["pad_token_id"] == 256
    (tmp_path / "there/config.json").write_text(json.dumps(values | {"eos_token_id": [3, 4]}))
    pretrained.convert(tmp_path / "there", tmp_path / "run")
    pretrained.convert(tmp_path / "run", tmp_path / "again")
    assert json.loads((tmp_path / "again/tokenizer_config.json").read_text()) == settings
    assert json.loads((tmp_path / "again/config.json").read_text())["eos_token_id"] == [3, 4]
    assert (tmp_path / "again/generation_config.json").exists()
