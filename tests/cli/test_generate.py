"""`jaxlm generate` on a tiny model: what it prints is what `decoding.generate` returns."""

import json

import jax
import pytest

from jaxlm import decoding, pretrained
from jaxlm.cli import main


def expected(causal_folder, texts, rng=None, **options):
    loaded = pretrained.load(causal_folder / "causal_lm")
    config = decoding.GenerationConfig(max_new_tokens=6, **options)
    return decoding.generate(loaded, texts, config, rng=rng)


def test_one_text_is_written_on(causal_folder, capsys):
    assert main(["generate", str(causal_folder / "causal_lm"), "ab", "-n", "6"]) == 0
    (found,) = expected(causal_folder, ["ab"])
    assert capsys.readouterr().out == "ab" + found.text + "\n"


def test_draws_and_json(causal_folder, capsys):
    options = ["--temperature", "1.3", "--top-k", "40", "--seed", "5", "--json", "-n", "6"]
    assert main(["generate", str(causal_folder / "causal_lm"), "ab", "cde", *options]) == 0
    sampling = decoding.Sampling(temperature=1.3, top_k=40)
    found = expected(causal_folder, ["ab", "cde"], rng=jax.random.key(5), sampling=sampling)
    for line, one in zip(capsys.readouterr().out.splitlines(), found, strict=True):
        values = json.loads(line)
        assert values["tokens"] == one.tokens.tolist() and values["text"] == one.text
        assert values["log_probs"] == pytest.approx(one.log_probs.tolist(), abs=1e-5)
        assert values["log_likelihood"] == pytest.approx(sum(values["log_probs"]), abs=1e-4)
        assert values["ended_by"] == "length" and "score" not in values


def test_beams(causal_folder, capsys):
    options = [
        "--num-beams",
        "2",
        "--length-penalty",
        "0.5",
        "--early-stopping",
        "never",
        "--json",
        "-n",
        "6",
    ]
    assert main(["generate", str(causal_folder / "causal_lm"), "ab", *options]) == 0
    (found,) = expected(causal_folder, ["ab"], num_beams=2, length_penalty=0.5, early_stopping="never")
    values = json.loads(capsys.readouterr().out)
    assert values["tokens"] == found.tokens.tolist() and values["score"] == pytest.approx(found.score)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the prompt is empty"),
        (["a", "--top-p", "0.5"], "--top-p is for draws"),
        (["a", "--seed", "0"], "--seed is for draws, and without --temperature there are none"),
        (["a", "--temperature", "1", "--seed=-1"], "--seed is from 0 and below 2**32: got -1"),
        (["a", "--length-penalty", "1"], "--length-penalty is for beams"),
        (["a", "--early-stopping", "no"], "--early-stopping is for beams"),
        (["a", "--num-beams", "99999999999999999999"], "--num-beams is a whole number below 2**63"),
        (["a", "--num-beams", "2147483647"], "num_beams: beams of 32 tokens after 1 prompts are more than"),
        (["a", "--json", "False"], "--json takes no value: got 'False' behind it"),
        (["a", "-n", "5", "--max-new-tokens", "6"], "--max-new-tokens is given twice"),
        (["a", "--temperature", "-1"], "--temperature is 0 (no draws) or above"),
        (["a", "--temperature", "1", "--top-p", "2"], "top_p is in (0, 1]: got 2.0"),
        (["a", "-n", "0"], "max_new_tokens is at least 1"),
        (["a", "--num-beams", "2", "--stop", "x"], "beam search ends at stop_ids only"),
        (["a" * 32], "32 tokens long and 1 more must fit, and the model reads at most 32"),
    ],
)
def test_mistakes_are_one_line(causal_folder, capsys, arguments, message):
    assert main(["generate", str(causal_folder / "causal_lm"), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--json"], ["--num-beams", "2"]])
def test_a_text_that_ends_at_the_models_length_says_so(causal_folder, capsys, options):
    model = str(causal_folder / "causal_lm")
    assert main(["generate", model, "ab", "-n", "500", *options]) == 0
    said = (
        "jaxlm generate: the text stopped at the model's length, after 30 of 500 new tokens: it reads no more"
    )
    assert capsys.readouterr().err == said + "\n"
    assert main(["generate", model, "ab", "a" * 30, "-n", "6", *options]) == 0
    said = "jaxlm generate: 1 of 2 texts stopped at the model's length, after 2 of 6 new tokens"
    assert capsys.readouterr().err.startswith(said)
    assert main(["generate", model, "ab", "-n", "30", *options]) == 0
    assert capsys.readouterr().err == ""


def test_no_so_many_tokens_stand_twice_is_quick_to_say(causal_folder, capsys):
    model = str(causal_folder / "causal_lm")
    assert main(["generate", model, "ab", "-n", "6", "--no-repeat-ngram-size", "2147483647"]) == 0
    (found,) = expected(causal_folder, ["ab"])
    assert capsys.readouterr().out == "ab" + found.text + "\n"
