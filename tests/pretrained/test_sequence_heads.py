"""transformers' classes for sequence classification: their outputs, and what is written back."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained
from jaxlm.errors import ModelError
from jaxlm.pretrained._sequence_heads import read_labels, write_labels
from tests.pretrained.parity import random_model, torch, transformers

SIZES = {
    "vocab_size": 13,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "pad_token_id": 1,
}
IDS = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
DECODER = {**SIZES, "num_key_value_heads": 2}
FAMILIES = {
    "Bert": SIZES,
    "Roberta": SIZES,
    "Esm": {**SIZES, "position_embedding_type": "rotary", "token_dropout": True, "mask_token_id": 12},
    "DistilBert": {
        "vocab_size": 13,
        "dim": 16,
        "n_layers": 1,
        "n_heads": 4,
        "hidden_dim": 24,
        "pad_token_id": 1,
    },
    "ModernBert": {**SIZES, **IDS, "local_attention": 4},
    "GPT2": {"vocab_size": 13, "n_embd": 16, "n_layer": 1, "n_head": 4, "n_positions": 16, "pad_token_id": 1},
    "Llama": DECODER,
    "Mistral": DECODER,
    "Qwen2": DECODER,
    "Qwen3": {**DECODER, "head_dim": 4},
}
TOKENS = np.array([[2, 5, 6, 7, 8, 9, 10, 11], [2, 9, 8, 3, 5, 1, 1, 1]], np.int32)
SEGMENTS = (TOKENS != 1).astype(np.int32)


def tiny(stem, folder, **options):
    """A random classifier of transformers, saved."""
    values = FAMILIES[stem] | ({"bos_token_id": 0, "eos_token_id": 0} if stem == "GPT2" else {})
    config = getattr(transformers, f"{stem}Config")(**values, **options)
    model = random_model(getattr(transformers, f"{stem}ForSequenceClassification"), config)
    model.save_pretrained(folder)
    return model


def theirs(model):
    with torch.no_grad():
        arrays = {"input_ids": torch.tensor(TOKENS), "attention_mask": torch.tensor(SEGMENTS)}
        return model(**arrays).logits.numpy()


def ours(loaded):
    @jax.jit
    def outputs(params):
        inputs = models.Inputs(tokens=jnp.asarray(TOKENS), segments=jnp.asarray(SEGMENTS))
        hidden = loaded.model.apply({"params": params}, inputs).hidden
        return loaded.model.apply({"params": params}, hidden, segments=inputs.segments, method="outputs")

    return np.asarray(outputs(loaded.params))[:, 0]


@pytest.mark.parametrize("stem", FAMILIES)
def test_outputs_are_those_of_transformers_and_go_back(stem, tmp_path):
    names = {0: "cat", 1: "dog", 2: "eel"}
    model = tiny(stem, tmp_path / "theirs", id2label=names, label2id={name: at for at, name in names.items()})
    loaded = pretrained.load(tmp_path / "theirs")
    assert loaded.kind == models.CLASSIFICATION and loaded.extra["classes"] == ["cat", "dog", "eel"]
    expected = theirs(model)
    # Float32 sums in two orders; logits are about 1.
    np.testing.assert_allclose(ours(loaded), expected, atol=2e-6)
    assert pretrained.save_huggingface(tmp_path / "back", loaded) == f"{stem}ForSequenceClassification"
    back = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "back").eval()
    np.testing.assert_array_equal(theirs(back), expected)
    assert back.config.id2label == names


@pytest.mark.parametrize("stem", ["Bert", "GPT2"])
def test_a_regression_has_the_units_of_its_labels_in_transformers_too(stem, tmp_path):
    model = tiny(stem, tmp_path / "theirs", num_labels=1)
    loaded = pretrained.load(tmp_path / "theirs")
    assert loaded.kind == models.REGRESSION and "classes" not in loaded.extra
    np.testing.assert_allclose(ours(loaded), theirs(model), atol=2e-6)
    center = 40.0 if loaded.head.output_bias else 0.0
    scaled = loaded._replace(head=dataclasses.replace(loaded.head, center=center, scale=8.0))
    pretrained.save_huggingface(tmp_path / "back", scaled)
    back = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "back").eval()
    np.testing.assert_allclose(theirs(back), center + 8 * theirs(model), rtol=1e-6)
    assert back.config.problem_type == "regression"


def test_pooling_of_modernbert(tmp_path):
    model = tiny("ModernBert", tmp_path, classifier_pooling="mean", classifier_activation="relu")
    loaded = pretrained.load(tmp_path)
    assert (loaded.head.pooling, loaded.head.hidden_activation) == ("mean", "relu")
    np.testing.assert_allclose(ours(loaded), theirs(model), atol=2e-6)


def test_other_heads_are_refused_by_name(tmp_path):
    tiny("Bert", tmp_path)
    loaded = pretrained.load(tmp_path)
    for change, named in (
        ({"pooling": "mean"}, "head.pooling='mean'"),
        ({"pooled_norm": True}, "head.pooled_norm=True"),
        ({"hidden_activation": "gelu"}, "head.hidden_activation='gelu'"),
    ):
        other = loaded._replace(head=dataclasses.replace(loaded.head, **change))
        with pytest.raises(ModelError, match=f"BertForSequenceClassification, has no {named}"):
            pretrained.save_huggingface(tmp_path / "out", other)


def test_labels_of_files():
    assert read_labels({}).number == 2
    several = read_labels({"num_labels": 3, "problem_type": "multi_label_classification"})
    assert (
        several.kind == models.CLASSIFICATION
        and several.extra["problem_type"] == "multi_label_classification"
    )
    values = read_labels({"num_labels": 3, "problem_type": "regression"})
    assert (values.kind, values.number, values.extra) == (models.REGRESSION, 3, {})
    for broken in ({"id2label": {"0": "a", "2": "b"}}, {"id2label": ["a"]}, {"problem_type": "poetry"}):
        with pytest.raises(ModelError):
            read_labels(broken)
    head = models.HeadConfig(num_outputs=2)
    written = write_labels(models.CLASSIFICATION, head, {"classes": ["a", "b"]})
    assert read_labels(json.loads(json.dumps(written))).extra == {"classes": ["a", "b"]}


@pytest.mark.parametrize(
    ("stem", "kind"), [("Bert", "Model"), ("ModernBert", "ForMaskedLM"), ("Roberta", "Model")]
)
def test_hidden_layers_of_a_new_head_are_those_that_the_folder_has(stem, kind, tmp_path):
    config = getattr(transformers, f"{stem}Config")(**FAMILIES[stem])
    random_model(getattr(transformers, stem + kind), config).save_pretrained(tmp_path)
    head = dataclasses.replace(pretrained.inspect(tmp_path).usual_head, num_outputs=3)
    layers = pretrained.head_start(tmp_path, head)
    model = getattr(transformers, f"{stem}ForSequenceClassification").from_pretrained(tmp_path)
    modules = {"Bert": {"layer_0": "bert.pooler.dense"}, "Roberta": {}}
    wanted = modules.get(stem, {"layer_0": "head.dense", "layer_norm_0": "head.norm"})
    assert set(layers) == set(wanted)
    for ours, theirs in wanted.items():
        weight = model.get_submodule(theirs).weight.detach().numpy()
        (name,) = set(layers[ours]) - {"bias"}
        np.testing.assert_array_equal(layers[ours][name], weight)
    assert pretrained.head_start(tmp_path, dataclasses.replace(head, pooling="last")) == {}


def test_the_head_of_a_family_is_what_training_draws(tmp_path):
    config = transformers.BertConfig(**SIZES)
    random_model(transformers.BertModel, config).save_pretrained(tmp_path)
    head = pretrained.inspect(tmp_path).usual_head
    found = head.pooling, head.hidden_layers, head.hidden_activation, head.num_outputs
    assert found == ("first", 1, "tanh", None)
