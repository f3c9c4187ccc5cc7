"""`jaxlm evaluate --unit byte`: bits per byte of models with different tokenizers, in one table."""

import json
import shutil

import pytest

from jaxlm import pretrained, scoring
from jaxlm.cli import _evaluate_bytes, main
from jaxlm.cli._evaluate_bytes import divide_models

TEXTS = ["ab", "abba", "", "b"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture
def evaluate(corpus):
    """Runs the command with --unit byte, on the corpus unless told otherwise."""

    def run(*models, options=(), texts=(corpus,)):
        return main(["evaluate", *map(str, (*models, *texts)), "--unit", "byte", *options])

    return run


def test_several_models_are_in_one_table(evaluate, causal_folder, letters_folder, corpus, capsys):
    models = [causal_folder / "causal_lm", letters_folder]
    assert evaluate(*models, options=["--json"]) == 0
    said = capsys.readouterr()
    values = json.loads(said.out)
    expected = scoring.evaluate_bytes(map(pretrained.load, models), lambda: TEXTS)
    assert values["corpus"] == str(corpus)
    for own, model, one in zip(values["models"], models, expected, strict=True):
        assert own["model"] == str(model) and own["num_bytes"] == one.num_bytes == 7
        assert own["bits_per_byte"] == pytest.approx(one.bits_per_byte, abs=1e-5)
        assert own["log_likelihood"] == pytest.approx(one.log_likelihood, abs=1e-4)
        assert (own["documents"], own["left_out"], own["probability"]) == (3, 1, "stem")
    assert "1 document is left out for all models" in said.err and "the text is empty" in said.err
    assert evaluate(*models) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{corpus}: 3 documents, 7 bytes\n") and "bits per byte" in shown
    assert all(f"{one.bits_per_byte:.4f}" in shown and "P_stem" in shown for one in expected)


def test_arguments_are_models_up_to_the_first_that_is_none(letters_folder, tmp_path, corpus):
    twin = shutil.copytree(letters_folder, tmp_path / "twin")
    given = [str(twin), str(corpus), str(twin)]
    assert divide_models(str(letters_folder), given) == ([str(letters_folder), given[0]], tuple(given[1:]))


def test_mistakes_are_one_line(evaluate, causal_folder, letters_folder, pieces_folder, tmp_path, capsys):
    unread = tmp_path / "unread.txt"
    unread.write_text("d\n")
    for models, more, message in (
        ([letters_folder], {"texts": ()}, f"CORPUS is missing: {letters_folder} is no run"),
        ([letters_folder, letters_folder], {}, "is named twice: name each model once"),
        ([letters_folder], {"texts": (tmp_path / "no.txt",)}, "no.txt"),
        ([letters_folder], {"options": ["--batch-size", "4"]}, "--batch-size is of rows of tokens"),
        ([letters_folder], {"options": ["--noisy"]}, "--noisy is of rows of tokens"),
        ([letters_folder], {"options": ["--row-length", "4"]}, "--row-length is of rows of tokens"),
        ([causal_folder / "masked_lm"], {}, "--unit byte needs a causal LM"),
        ([letters_folder, pieces_folder], {}, f"{pieces_folder}: the bytes of this tokenizer's tokens"),
        (
            [letters_folder],
            {"texts": (unread,)},
            "nothing was scored: unread.txt:1: the text: no token of this",
        ),
    ):
        assert evaluate(*models, **more) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    assert main(["evaluate", str(letters_folder), str(letters_folder), "--unit", "byte"]) == 2
    assert "named twice" in capsys.readouterr().err


def test_all_tokenizers_are_looked_at_before_the_first_model_is_scored(
    evaluate, letters_folder, pieces_folder, monkeypatch, capsys
):
    opened = []
    monkeypatch.setattr(_evaluate_bytes, "open_model", lambda *given, **options: opened.append(given))
    assert evaluate(letters_folder, pieces_folder) == 2
    assert f"{pieces_folder}: the bytes of this tokenizer's tokens" in capsys.readouterr().err
    assert not opened


def test_a_run_is_evaluated_on_its_own_split(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"line {number} of a small text\n" for number in range(60))
    (tmp_path / "all.txt").write_text(lines)
    sizes = ["--model.width", "16", "--model.depth", "1", "--model.num-heads", "2", "--steps", "2"]
    options = [
        "--objective",
        "causal_lm",
        "--model.causal",
        "--data",
        "all.txt",
        "--tokenizer.kind",
        "bytes",
        *sizes,
    ]
    assert main(["train", *options, "--out", "run", "--data.row-length", "64", "--batch-size", "8"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--unit", "byte", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["corpus"] == "its own test split" and 0 < values["models"][0]["bits_per_byte"] < 10
