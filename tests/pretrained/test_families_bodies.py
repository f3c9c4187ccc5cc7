"""Bodies of every family, and models beside further heads, by the names of transformers and by others."""

import json
import logging
import shutil

import numpy as np
import pytest
import safetensors.numpy

from jaxlm import models, pretrained
from jaxlm.pretrained._bodies import LANGUAGE_HEAD
from jaxlm.pretrained._families import FAMILIES
from tests.pretrained.parity import ROWS, SEGMENTS, quickly, random_model, torch, transformers
from tests.pretrained.test_folder import assert_same

SIZES = {
    "vocab_size": 13,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "pad_token_id": 1,
}
IDS = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
# Of each family the beginning of its classes' names, and what a tiny one is made of.
TINY = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", SIZES),
    "esm": (
        "Esm",
        {**SIZES, "position_embedding_type": "rotary", "token_dropout": True, "mask_token_id": 12},
    ),
    "distilbert": (
        "DistilBert",
        {"vocab_size": 13, "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24, "pad_token_id": 1},
    ),
    "modernbert": ("ModernBert", {**SIZES, **IDS, "local_attention": 4}),
    "t5": (
        "T5",
        {
            "vocab_size": 13,
            "d_model": 16,
            "d_kv": 6,
            "d_ff": 24,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
    ),
}
ENCODERS = [name for name in TINY if name != "t5"]


def tiny(family, kind, folder, **options):
    """A random model of a class of transformers, saved; returns it and its tensors."""
    stem, values = TINY[family]
    config = getattr(transformers, f"{stem}Config")(**values, **options)
    model = random_model(getattr(transformers, stem + kind), config)
    model.save_pretrained(folder)
    return model, safetensors.numpy.load_file(folder / "model.safetensors")


def rewrite(folder, tensors, **values):
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def kind_of_body(family):
    return "EncoderModel" if family == "t5" else "Model"


@pytest.fixture(scope="module", params=TINY)
def body(request, tmp_path_factory):
    """A family, a folder of its body alone, the model in it and its tensors."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, *tiny(request.param, kind_of_body(request.param), folder)


@quickly
def hidden(model, params, tokens, segments):
    return model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments)).hidden


def assert_same_hidden(loaded, theirs):
    with torch.no_grad():
        mask = torch.tensor(SEGMENTS > 0).long()
        expected = theirs(input_ids=torch.tensor(ROWS).long(), attention_mask=mask).last_hidden_state
    got = np.asarray(hidden(loaded.model, loaded.params, ROWS, SEGMENTS))
    np.testing.assert_allclose(got[SEGMENTS > 0], expected.numpy()[SEGMENTS > 0], rtol=1e-5, atol=2e-5)


def test_a_body_gives_the_hidden_states_of_transformers(body):
    family, folder, theirs, _ = body
    loaded, found = pretrained.load(folder), pretrained.inspect(folder)
    assert loaded.kind.name == found.kind.name == "body" and type(loaded.model) is models.BodyModel
    assert (found.family, list(loaded.params)) == (family, ["body"])
    assert_same_hidden(loaded, theirs)


@pytest.mark.parametrize("form", ["{}", "module.{}", "_orig_mod.module.{}", "model.{}", "net._orig_mod.{}"])
def test_a_body_under_other_names_is_the_same(body, tmp_path, form):
    family, folder, _, tensors = body
    shutil.copy(folder / "config.json", tmp_path)
    prefix = FAMILIES[family].prefix
    renamed = {form.format(name.removeprefix(prefix)): tensor for name, tensor in tensors.items()}
    rewrite(tmp_path, renamed)
    assert_same(pretrained.load(tmp_path).params, pretrained.load(folder).params)


def heads_of(stem):
    """What a family's classes are, behind the beginning of their names."""
    skipped = ("ProteinFolding", "Model", "Layer", "Decoder")
    kinds = [name.removeprefix(stem) for name in dir(transformers) if name.startswith(f"{stem}For")]
    return [kind for kind in kinds if not kind.endswith(skipped)]


@pytest.mark.parametrize("family", TINY)
def test_every_head_of_a_family_is_known_or_left_out(family, tmp_path, caplog):
    kinds = heads_of(TINY[family][0])
    assert len(kinds) > 2
    for kind in kinds:
        theirs, _ = tiny(family, kind, tmp_path / kind)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            loaded = pretrained.load(tmp_path / kind)
        lines = [record.message for record in caplog.records if "left out" in record.message]
        known = {"ForSequenceClassification": models.CLASSIFICATION} if FAMILIES[family].sequences else {}
        known |= {kind: FAMILIES[family].kind} if LANGUAGE_HEAD.search(kind) else {}
        assert loaded.kind == known.get(kind, models.BODY_ALONE), kind
        assert len(lines) == bool(pretrained.inspect(tmp_path / kind).left_out) >= (kind not in known)
        if kind == "ForTokenClassification":
            assert_same_hidden(loaded, body_of(theirs))


def body_of(theirs):
    if not isinstance(theirs, transformers.T5ForTokenClassification):
        return theirs.base_model
    body = transformers.T5EncoderModel(theirs.config).eval()
    body.load_state_dict(theirs.transformer.state_dict())
    return body


FURTHER = ("pooler.dense", "classifier", "cls.seq_relationship", "qa_outputs", "score.dense.out")


@pytest.mark.parametrize("family", ENCODERS)
def test_heads_beside_a_masked_lm_are_named_in_one_line(family, tmp_path, caplog):
    _, tensors = tiny(family, "ForMaskedLM", tmp_path)
    params = pretrained.load(tmp_path).params
    extra = {f"{name}.weight": np.ones((2, 16), np.float32) for name in FURTHER}
    inside = FAMILIES[family].prefix + "contact_head.regression.bias"
    rewrite(tmp_path, tensors | extra | {inside: np.ones(1, np.float32)}, architectures=["Own"])
    caplog.clear()
    loaded = pretrained.load(tmp_path)
    assert_same(loaded.params, params)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"{tmp_path}: left out, as no part of a masked_lm: ")
    told = line.split(": ")[2].split(", ")
    assert set(told) >= {
        "classifier",
        "pooler",
        "qa_outputs",
        "score",
        inside.removesuffix(".regression.bias"),
    }


@pytest.mark.parametrize("family", ENCODERS)
def test_what_is_within_the_body_and_belongs_to_nothing_is_refused(family, tmp_path):
    _, tensors = tiny(family, "ForMaskedLM", tmp_path)
    layer = next(name for name in tensors if "layer" in name and name.endswith("weight"))
    adapter = layer.replace(".weight", ".lora_A.weight")
    rewrite(tmp_path, tensors | {adapter: np.ones((2, 16), np.float32)})
    with pytest.raises(ValueError, match=f"unexpected .*{adapter}"):
        pretrained.load(tmp_path)
    rewrite(tmp_path, tensors | {f"other.{name}": tensor for name, tensor in tensors.items()})
    with pytest.raises(ValueError, match=r"are of 2 models, whose names begin with '', 'other.': keep one$"):
        pretrained.load(tmp_path)
    head = [name for name in tensors if name.startswith(FAMILIES[family].head)]
    rewrite(tmp_path, {name: tensor for name, tensor in tensors.items() if name != head[0]})
    with pytest.raises(ValueError, match=f"missing {head[0]}"):
        pretrained.load(tmp_path)


@pytest.mark.parametrize("family", ENCODERS)
def test_untied_heads_open_as_transformers_4_wrote_them(family, tmp_path):
    """One bias, under the name that a tied one has; in torch's files under both."""
    _, tensors = tiny(family, "ForMaskedLM", tmp_path, tie_word_embeddings=False)
    expected = pretrained.load(tmp_path)
    assert not expected.config.tie_embeddings
    for name, original in FAMILIES[family].tied.items():
        if name in tensors and name.endswith("bias"):
            tensors[original] = tensors[name]
            rewrite(tmp_path, tensors)
            assert_same(pretrained.load(tmp_path).params, expected.params)
            del tensors[name]
    rewrite(tmp_path, tensors)
    assert_same(pretrained.load(tmp_path).params, expected.params)


def test_a_body_goes_there_and_back(body, tmp_path):
    family, folder, theirs, _ = body
    assert pretrained.convert(folder, tmp_path / "ours") == "a jaxlm folder"
    assert pretrained.convert(tmp_path / "ours", tmp_path / "again") == FAMILIES[family].body_architecture
    loaded, ours = pretrained.load(tmp_path / "again"), pretrained.load(tmp_path / "ours")
    assert loaded.kind.name == ours.kind.name == "body"
    assert_same(loaded.params, pretrained.load(folder).params)
    again, report = type(theirs).from_pretrained(tmp_path / "again", output_loading_info=True)
    heads = ("pooler", "contact_head", "rotary_embeddings")  # drawn anew, or computed
    assert not report["unexpected_keys"]
    assert not [name for name in report["missing_keys"] if not name.startswith(heads)]
    assert_same_hidden(ours, again.eval())
    with pytest.raises(ValueError, match=rf"{folder} is a body without a head, .* jaxlm train --init"):
        pretrained.load(folder, needs_head=True)
    with pytest.raises(ValueError, match="predicts nothing"):
        loaded.model.apply({"params": loaded.params}, ROWS, method="logits")
