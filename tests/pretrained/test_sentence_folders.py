"""Folders of sentence-transformers: what they say is read, and their numbers are those of torch."""

import json

import numpy as np
import pytest

from jaxlm import pretrained, scoring
from jaxlm.errors import ModelError
from jaxlm.pretrained._sentence_folders import sentence_settings, transformer_folder

MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
TEXTS = ["Two cats, two dogs", "a cat  ", "dogs " * 30, "cats"]


def write_modules(folder, modules=MODULES, **pooling):
    """Writes the files that sentence-transformers puts around a transformer."""
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    for path, kind in modules:
        (folder / path).mkdir(exist_ok=True)
        if kind == "Pooling":
            (folder / path / "config.json").write_text(json.dumps(pooling))


def test_settings_of_files_old_and_new(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert sentence_settings(tmp_path) == {}
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": false}')
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    write_modules(tmp_path, pooling_mode_mean_tokens=True, pooling_mode_cls_token=False)
    settings = sentence_settings(tmp_path)
    assert settings == {
        "pool": "mean",
        "normalize": True,
        "specials": True,
        "prompt": "",
        "strip": True,
        "lower": False,
        "long": "cut",
        "window": 12,
    }
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    write_modules(tmp_path, MODULES[:2], pooling_mode="lasttoken")
    settings = sentence_settings(tmp_path)
    assert (settings["pool"], settings["normalize"], settings["prompt"]) == ("last", False, "query: ")
    write_modules(tmp_path, pooling_mode="mean", include_prompt=False)
    assert "left out of the pooling" in sentence_settings(tmp_path)["refused"]


@pytest.mark.parametrize(
    ("modules", "pooling", "refused"),
    [
        (
            (*MODULES, ("3_Dense", "Dense")),
            {"pooling_mode_mean_tokens": True},
            "got Transformer, Pooling, .*Dense",
        ),
        (MODULES[:1], {}, "got Transformer;"),
        (MODULES, {"pooling_mode_weightedmean_tokens": True}, "a pooling is one of .*: got weightedmean"),
        (MODULES, {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "got mean and max"),
        (MODULES, {}, "a pooling is one of .*: got none"),
    ],
)
def test_what_is_not_supported_is_told_when_vectors_are_asked_for(tmp_path, modules, pooling, refused):
    (tmp_path / "config.json").write_text("{}")
    write_modules(tmp_path, modules, **pooling)
    with pytest.raises(AssertionError, match=refused):
        raise AssertionError(sentence_settings(tmp_path)["refused"])


def test_the_transformer_may_lie_in_a_folder_of_its_own(tmp_path):
    inner = tmp_path / "0_Transformer"
    write_modules(tmp_path, (("0_Transformer", "Transformer"), *MODULES[1:]), pooling_mode="cls")
    (inner / "config.json").write_text("{}")
    assert transformer_folder(tmp_path) == inner and transformer_folder(inner) == inner
    assert sentence_settings(inner)["pool"] == "first"
    (tmp_path / "modules.json").write_text('[{"path": "../x", "type": "a.Transformer"}]')
    with pytest.raises(ModelError, match="may name folders beside it"):
        transformer_folder(tmp_path)


def bert_folder(folder):
    """A tiny random BERT with a tokenizer of words."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "two", "cats", "cat", "dogs", ",", "a", "dog"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=24,
        initializer_range=0.4,
    )
    transformers.BertModel(config).eval().save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": false}')
    return folder


def vectors_by_torch(folder, mode, *, normalize):
    """What sentence-transformers computes: tokens cut at 12, pooled over the attention mask."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    texts = [text.strip() for text in TEXTS]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    last = batch["attention_mask"].sum(-1) - 1
    pooled = {
        "pooling_mode_mean_tokens": lambda: (hidden * mask).sum(1) / mask.sum(1),
        "pooling_mode_cls_token": lambda: hidden[:, 0],
        "pooling_mode_max_tokens": lambda: hidden.masked_fill(mask == 0, -1e9).max(1).values,
        "pooling_mode_lasttoken": lambda: hidden[torch.arange(len(texts)), last],
    }[mode]()
    return (torch.nn.functional.normalize(pooled, dim=-1) if normalize else pooled).numpy()


@pytest.mark.parametrize(
    ("mode", "normalize"),
    [
        ("pooling_mode_mean_tokens", True),
        ("pooling_mode_cls_token", False),
        ("pooling_mode_max_tokens", True),
        ("pooling_mode_lasttoken", False),
    ],
)
def test_numbers_are_those_of_torch(tmp_path, mode, normalize):
    folder = bert_folder(tmp_path / "model")
    write_modules(folder, MODULES if normalize else MODULES[:2], **{mode: True})
    theirs = vectors_by_torch(folder, mode, normalize=normalize)
    scores = scoring.score(pretrained.load(folder), TEXTS, "embedding")
    ours = np.stack([score.values["vector"] for score in scores])
    # Float32 sums in two orders; the numbers are about 1.
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
