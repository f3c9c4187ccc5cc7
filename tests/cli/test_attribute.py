"""`jaxlm attribute` on tiny models: what it shows and writes is what `attribution.attribute` returns."""

import io
import json
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, decoding, models, pretrained, steps, tokenizers
from jaxlm.cli import main
from jaxlm.cli._attribute_options import read_bytes, with_json_value
from jaxlm.cli._failures import UsageError

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SHAPE = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=64, init_std=0.4)
KINDS = {
    "gpt2": ("causal_lm", models.TransformerConfig(causal=True, **SHAPE)),
    "bert": ("masked_lm", models.TransformerConfig(**SHAPE)),
    "t5": ("seq2seq_lm", models.TransformerConfig(decoder=models.DecoderConfig(start_id=256), **SHAPE)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model of each kind."""
    place = tmp_path_factory.mktemp("models")
    for name, (kind, config) in KINDS.items():
        params = jax.jit(models.build(config, kind).init)(jax.random.key(1), jnp.zeros((1, 4), jnp.int32))
        pretrained.save_model(place / name, config, params["params"], tokenizers.bytes_tokenizer(), kind=kind)
    return place


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    return folder


def lines_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def scores_of(line):
    return np.array(
        [[np.nan if one is None else one for one in row] for row in line["scores"]["values"]], np.float32
    )


def test_a_line_of_json_is_what_the_library_says(here, capsys):
    command = ["attribute", "gpt2", "To be", "--target", " or", "--method", "occlusion", "--json"]
    assert main([*command, "--step", "logit", "--step-scores", "entropy", "top_p_size=0.5"]) == 0
    (line,) = lines_of(capsys)
    (expected,) = attribution.attribute(
        pretrained.load("gpt2"),
        "To be",
        targets="To be or",
        method="occlusion",
        step="logit",
        step_scores=["entropy", steps.step_function("top_p_size", top_p=0.5)],
    )
    np.testing.assert_array_equal(scores_of(line), expected.scores)
    assert line["tokens"] == list("To be or") and line["target_tokens"] == list(" or")
    assert sorted(line["step_scores"]) == ["entropy", "top_p_size(top_p=0.5)"]
    assert (line["model"], line["unit"], line["method"]) == ("gpt2", "logit", "occlusion")


def test_a_person_reads_a_heat_map_and_files_are_written(here, tmp_path, capsys):
    page, scores = tmp_path / "map.html", tmp_path / "scores.json.gz"
    command = [
        "attribute",
        "gpt2",
        "To be",
        "--target",
        " or",
        "--method",
        "saliency",
        "--step-scores",
        "entropy",
    ]
    assert main([*command, "--html", str(page), "--json", str(scores)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("saliency of probability\n") and "entropy (nats)" in shown.out
    assert shown.err.splitlines() == [f"jaxlm attribute: wrote {path}" for path in (scores, page)]
    (opened,) = attribution.open_attributions(scores)
    assert opened.tokens == tuple("To be or") and opened.model == "gpt2" and len(opened.fingerprint) == 64
    opened.show()
    assert capsys.readouterr().out == shown.out
    assert page.read_text(encoding="utf-8") == attribution.html_page([opened])


def test_without_a_target_the_model_writes_one(here, capsys):
    loaded = pretrained.load("gpt2")
    assert main(["attribute", "gpt2", "To be", "a", "--method", "saliency", "-n", "3", "--json"]) == 0
    written = decoding.generate(loaded, ["To be", "a"], decoding.GenerationConfig(max_new_tokens=3))
    for line, own in zip(lines_of(capsys), written, strict=True):
        assert line["targets"]["values"] == own.tokens.tolist()
        assert line["token_ids"]["values"] == [*own.prompt.tolist(), *own.tokens.tolist()]


def test_a_contrast_without_a_target_is_compared_with_as_many_tokens(here, capsys):
    step = ["--step", "contrast_prob_diff", "--contrast", " no"]
    assert main(["attribute", "gpt2", "To be", "--method", "saliency", *step, "--json"]) == 0
    (line,) = lines_of(capsys)
    (written,) = decoding.generate(
        pretrained.load("gpt2"), "To be", decoding.GenerationConfig(max_new_tokens=3)
    )
    assert line["targets"]["values"] == written.tokens.tolist() and line["contrast_tokens"] == list(" no")


def test_a_contrast_of_another_length_is_compared_at_its_ends(here, capsys):
    command = ["attribute", "gpt2", "To be", "--target", " or", "--method", "saliency", "--json"]
    step = ["--step", "contrast_prob_diff", "--contrast", " for", "--alignment", "last_common"]
    assert main([*command, *step]) == 0
    (line,) = lines_of(capsys)
    assert line["target_tokens"] == list(" or") and line["contrast_tokens"] == list(" or")


@pytest.mark.parametrize("target", [[], ["--target", "To beat"]])
def test_the_masks_of_a_masked_model(here, capsys, target):
    command = ["attribute", "bert", "To [MASK]ea[MASK]", "--method", "saliency", "--json", *target]
    assert main(command) == 0
    (line,) = lines_of(capsys)
    tokens = line["tokens"]
    assert [tokens[position] for position in line["positions"]["values"]] == ["[MASK]", "[MASK]"]
    assert not target or line["target_tokens"] == ["b", "t"]
    step = ["--step", "contrast_logits_diff", "--contrast", "To read"]
    assert main([*command, *step]) == 0
    (compared,) = lines_of(capsys)
    assert compared["contrast_tokens"] == ["r", "d"]
    assert not target or compared["target_tokens"] == ["b", "t"]


def test_both_sides_of_an_encoder_decoder(here, capsys):
    assert main(["attribute", "t5", "Thanks", "--target", "ja", "--method", "saliency", "--json"]) == 0
    (line,) = lines_of(capsys)
    assert "Thanks" in "".join(line["source_tokens"]) and "ja" in "".join(line["target_tokens"])
    assert line["source_scores"]["shape"] == [len(line["source_tokens"]), len(line["target_tokens"])]
    assert main(["attribute", "t5", "Thanks", "-n", "2", "--method", "saliency"]) == 0
    shown = [text.strip() for text in capsys.readouterr().out.splitlines()]
    assert "source" in shown and "target" in shown


def test_words_and_scales(here, capsys):
    command = ["attribute", "gpt2", "To be", "--target", " or not", "--method", "input_x_gradient", "--json"]
    assert main([*command, "--words", "--normalize"]) == 0
    (line,) = lines_of(capsys)
    assert line["tokens"] == ["To", " be", " or", " not"] and line["target_tokens"] == [" or", " not"]
    np.testing.assert_allclose(np.nansum(np.abs(scores_of(line)), 0), 1, rtol=1e-6)
    assert line["settings"]["aggregation"] == ["words by absmax", "normalized: magnitudes add up to 1"]


def test_settings_baseline_span_and_seed(here, capsys):
    command = ["attribute", "gpt2", "To be", "--target", " or", "--json"]
    settings = ["--settings", "steps=3", "rule=left", "layer=0", "site=residual"]
    assert main([*command, *settings, "--reduce", "sum", "--memory", "1GiB"]) == 0
    (line,) = lines_of(capsys)
    told = line["settings"]
    assert (told["steps"], told["rule"], told["layer"], told["site"]) == (3, "left", 0, "residual")
    assert line["scores"]["shape"] == [8, 1] and line["target_tokens"] == [" or"]
    assert main([*command, "--method", "occlusion", "--baseline", "so no ad"]) == 0
    assert lines_of(capsys)[0]["settings"]["baseline"] == ["so no ad"]
    assert main([*command, "--method", "saliency", "--granular"]) == 0
    assert lines_of(capsys)[0]["scores"]["shape"] == [8, 3, 8]
    assert main([*command, "--method", "attention", "--settings", "layers=-1", "heads=0,1"]) == 0
    told = lines_of(capsys)[0]["settings"]
    assert (told["layers"], told["heads"]) == ([-1], [0, 1])
    noisy = [*command, "--method", "smooth_grad", "--settings", "samples=2"]
    lines = []
    for seed in ([], ["--seed", "0"], ["--seed", "1"]):
        assert main([*noisy, *seed]) == 0
        lines += lines_of(capsys)
    assert lines[0] == lines[1] and lines[0]["scores"] != lines[2]["scores"]


def test_texts_of_stdin_are_one_page(here, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("To be\n\nTo go\n"))
    page = tmp_path / "map.html"
    assert (
        main(["attribute", "gpt2", "-", "--target", " or", "--method", "saliency", "--html", str(page)]) == 0
    )
    assert capsys.readouterr().out.count("saliency of probability") == 2
    assert page.read_text(encoding="utf-8").count("<section") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gpt2"], "TEXT is missing"),
        (["gpt2", "a", "-n", "0"], "--max-new-tokens is at least 1, got 0"),
        (
            ["gpt2", "a", "--memory", "much"],
            "--memory is a number of bytes such as 2GiB, 500MB or 1000000: got 'much'",
        ),
        (["gpt2", "a", "--memory", "1GiBB"], "--memory is a number of bytes"),
        (["gpt2", "a", "--target", "b", "--memory", "1"], "memory"),
        (["gpt2", "a", "--step", "entropie"], "no step function 'entropie'; did you mean 'entropy'?"),
        (["gpt2", "a", "--step-scores", "nothing"], "no step function 'nothing'"),
        (["gpt2", "a", "--method", "salience"], "no method 'salience'; did you mean 'saliency'?"),
        (["gpt2", "a", "--settings", "steps"], "--settings are name=value, such as steps=100: got 'steps'"),
        (["gpt2", "a", "--settings", "stepz=1"], "the settings of integrated_gradients has no field 'stepz'"),
        (["gpt2", "a", "--settings", "site=nowhere"], "site is one of embeddings,"),
        (["gpt2", "a", "--settings", "steps=many"], "steps"),
        (["gpt2", "a", "--reduce", "mean"], "--reduce is one of 'sum', 'None', got 'mean'"),
        (["gpt2", "a", "--seed", "-1"], "--seed is from 0 and below 2**32: got -1"),
        (["gpt2", "a", "--seed", "1"], "neither integrated_gradients nor probability draws; leave it out"),
        (
            ["gpt2", "a", "--alignment", "last_common"],
            "--alignment is that of a --contrast, and there is none",
        ),
        (["gpt2", "a", "--granular", "--normalize"], "--normalize is for one number a token"),
        (["gpt2", "a", "--settings", "layer=0", "site=attention_probs"], "residual: got 'attention_probs'"),
        (["gpt2", "a", "--step", "pcxmi"], "pcxmi compares two targets: add --contrast"),
        (["gpt2", "a", "--contrast", "b"], "none of probability compares; add --step contrast_prob_diff"),
        (
            ["gpt2", "a", "--html", "none/a.html"],
            "--html is a path in a folder that is there: got 'none/a.html'",
        ),
        (
            ["gpt2", "a", "--json", "none/a.json"],
            "--json is a path in a folder that is there: got 'none/a.json'",
        ),
        (
            ["gpt2", "a", "--step", "pcxmi", "--target", "b", "--contrast", "cd"],
            "a contrast has as many tokens, 1",
        ),
        (["gpt2", "ab", "--step", "pcxmi", "--contrast", "ab"], "a contrast has a token behind the text"),
        (["gpt2", "a" * 70, "--target", "b"], "the model reads at most 64"),
        (["bert", "no mask"], "there is none in 'no mask'"),
        (
            ["bert", "a [MASK]", "--target", "b [SEP]"],
            "a masked text's target is the text with a token at each mask",
        ),
        (["t5", "a", "--target", "b", "--baseline", "abcdef"], "a baseline has as many tokens as its text"),
        (["nowhere", "a"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(here, capsys, arguments, message):
    assert main(["attribute", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and not said.out


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["m", "t", "--json"], ["m", "t", "--json=-"]),
        (["--json", "a.json", "m"], ["--json=a.json", "m"]),
        (["--json", "a.json.gz"], ["--json=a.json.gz"]),
        (["m", "--json", "a text"], ["m", "--json=-", "a text"]),
        (["--json=b", "m"], ["--json=b", "m"]),
        (["m", "--", "--json", "a.json"], ["m", "--", "--json", "a.json"]),
        (["m", "--json", "--", "a.json"], ["m", "--json=-", "--", "a.json"]),
        (["m"], ["m"]),
    ],
)
def test_json_with_and_without_a_path(given, read):
    assert with_json_value(given) == read


def test_numbers_of_bytes():
    assert [read_bytes(text) for text in ("1", "2 kB", "2KiB", "0.5gib", "3MB", "7B")] == [
        *(1, 2000, 2048, 2**29, 3_000_000, 7)
    ]
    for text in ("", "GiB", "-1", "1e9", "1 TB"):
        with pytest.raises(UsageError):
            read_bytes(text)


def commands():
    """The commands of the README's section, with their arguments as a shell divides them."""
    section = README.partition("## What moved the model\n")[2].partition("\n## ")[0]
    return re.findall(r"^jaxlm (attribute .*?)(?:  +#.*)?$", section, flags=re.MULTILINE)


def test_the_readme_has_commands():
    assert len(commands()) >= 5


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_readme_run(here, capsys, tmp_path, command):
    arguments = [
        re.sub(r"^(\w+\.(?:html|json|json\.gz))$", rf"{tmp_path}/\1", word) for word in shlex.split(command)
    ]
    assert main(arguments) == 0
    assert "of " in capsys.readouterr().out
