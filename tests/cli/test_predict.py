"""`jaxlm predict` on tiny models: classes and values of texts and corpora; `evaluate` with labels."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxlm import models, pretrained, scoring, tokenizers
from jaxlm.cli import main

TEXTS = ["a small text", "b", "the last of them"]
HEADS = {
    "classification": models.HeadConfig(num_outputs=3),
    "regression": models.HeadConfig(num_outputs=1, center=40.0, scale=2.0),
}
NAMES = ["cat", "dog", "eel"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    config = models.TransformerConfig(
        vocab_size=260, width=8, depth=1, num_heads=2, max_length=32, init_std=0.4
    )
    for kind, head in HEADS.items():
        model = models.build(config, kind, head)
        params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
        extra = {"classes": NAMES} if kind == "classification" else {}
        tokenizer = tokenizers.bytes_tokenizer()
        pretrained.save_model(place / kind, config, params, tokenizer, kind=kind, head=head, extra=extra)
    return place


@pytest.fixture(scope="module")
def known(folders):
    """What the library says of the texts."""
    return {
        kind: [score.values for score in scoring.score(pretrained.load(folders / kind), TEXTS)]
        for kind in HEADS
    }


@pytest.fixture
def corpus(tmp_path, known):
    """The texts, labelled with the class that the model predicts; the last one with another."""
    path = tmp_path / "corpus.jsonl"
    labels = [values["predicted_class"] for values in known["classification"]]
    labels[-1] = NAMES[NAMES.index(labels[-1]) - 1]
    rows = zip(TEXTS, labels, strict=True)
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return path


def test_classes_of_texts(folders, known, capsys):
    assert main(["predict", str(folders / "classification"), *TEXTS, "--top-k", "1"]) == 0
    shown = capsys.readouterr().out
    for text, values in zip(TEXTS, known["classification"], strict=True):
        line = next(
            line for line in shown.partition(text)[2].splitlines() if values["predicted_class"] in line
        )
        assert f"{values['probability']:.4f}" in line
    assert main(["predict", str(folders / "classification"), "b", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["classes"] == NAMES and printed["predicted_class"] in NAMES
    np.testing.assert_allclose(sum(printed["probabilities"]), 1.0, rtol=1e-6)


def test_values_of_texts_and_lines_of_a_corpus(folders, corpus, known, capsys):
    assert main(["predict", str(folders / "regression"), "b"]) == 0
    assert f"{known['regression'][1]['value']:.6g}" in capsys.readouterr().out
    assert main(["predict", str(folders / "classification"), str(corpus)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == [values["predicted_class"] for values in known["classification"]]
    assert [line[0] for line in lines] == [f"corpus.jsonl:{number}" for number in (1, 2, 3)]


def test_a_corpus_becomes_parquet(folders, corpus, known, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(folders / "classification"), str(corpus), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "predicted class" in told and f"{out}/parts" in told
    rows = pq.read_table(out / "parts").to_pylist()
    for row, values in zip(rows, known["classification"], strict=True):
        assert row["predicted_class"] == values["predicted_class"]
        np.testing.assert_allclose(row["probabilities"], values["probabilities"], rtol=1e-5)


def test_evaluate_reads_the_labels_of_a_corpus(folders, corpus, capsys):
    command = ["evaluate", str(folders / "classification"), str(corpus), "--batch-size", "8"]
    assert main([*command, "--label-field", "label", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"] == pytest.approx(2 / 3) and scores["records"] == 3
    assert main(command) == 2
    assert "--label-field" in capsys.readouterr().err


def test_options_of_a_job_ask_for_its_folder(folders, corpus, capsys):
    assert main(["predict", str(folders / "classification"), str(corpus), "--keep", "label"]) == 2
    assert "--keep is for a job, which writes files: add --out DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "arguments", "line"),
    [
        ("classification", ["text", "--top-k", "0"], "--top-k is at least 1"),
        ("classification", [], "TEXT is missing"),
        ("classification", ["text", "--window", "64"], "reads up to 32: got 64"),
        ("masked_lm", ["text"], "is asked of a classification or a regression: this model is a masked_lm"),
    ],
)
def test_one_line_for_what_cannot_be(folders, causal_folder, capsys, model, arguments, line):
    folder = causal_folder if model == "masked_lm" else folders
    assert main(["predict", str(folder / model), *arguments]) == 2
    told = capsys.readouterr().err
    assert line in told and len(told.splitlines()) == 1
