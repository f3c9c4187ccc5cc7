"""`jaxlm next` on a tiny model: what it prints is what `decoding.next_tokens` returns."""

import io
import json
import math

import pytest

from jaxlm import decoding, pretrained
from jaxlm.cli import main


def expected(causal_folder, texts, **options):
    loaded = pretrained.load(causal_folder / "causal_lm")
    return decoding.next_tokens(loaded, texts, **options)


def test_json_has_what_the_library_says(causal_folder, capsys):
    assert main(["next", str(causal_folder / "causal_lm"), "ab", "--target", "cd", "-k", "3", "--json"]) == 0
    (found,) = expected(causal_folder, ["ab"], targets=["cd"], top_k=3)
    values = json.loads(capsys.readouterr().out)
    assert values["top_indices"] == [one.token_id for one in found.candidates]
    assert values["top_tokens"] == [one.token for one in found.candidates]
    assert values["probabilities"] == pytest.approx([one.probability for one in found.candidates])
    assert (values["token_ids"], values["tokens"], values["sentence"]) == ([97, 98], ["a", "b"], "ab")
    assert values["target_ids"] == [99, 100]
    assert values["loss"] == pytest.approx(-sum(values["target_log_probs"]) / 2)
    assert values["perplexity"] == pytest.approx(math.exp(values["loss"]))


def test_a_person_reads_a_table(causal_folder, capsys):
    assert main(["next", str(causal_folder / "causal_lm"), "ab", "--target", "c"]) == 0
    shown = capsys.readouterr().out
    (found,) = expected(causal_folder, ["ab"], targets=["c"])
    assert shown.startswith("ab\n") and "next token" in shown
    assert all(f"{one.probability:.4f}" in shown for one in found.candidates)
    assert f"target: {found.loss:.4f} nats a token" in shown


def test_requests_come_as_json_or_plain_lines(causal_folder, capsys, monkeypatch):
    lines = '{"sentence": "ab", "target": "c"}\nplain\n\n{"sentence": "x"}\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert main(["next", str(causal_folder / "causal_lm"), "-", "--json"]) == 0
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["sentence"] for one in values] == ["ab", "plain", "x"]
    assert ["loss" in one for one in values] == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ([], "", "TEXT is missing"),
        (["a", "-k", "0"], "", "--top-k is at least 1"),
        (["a" * 33], "", "33 tokens long, and the model reads at most 32"),
        ([""], "", "the prompt is empty"),
        (["a", "--target", ""], "", "--target needs a value or None, got ''"),
        (["-"], "", "stdin held no text"),
        (["-"], '{"sentence": "a"\n', "this line is no JSON object"),
        (["-"], '{"text": "a"}\n', "a request has the keys sentence, target: got 'text'"),
        (["-"], '{"target": "a"}\n', 'a request has a "sentence"'),
        (["-"], '{"sentence": 5}\n', "'sentence' is a str in a request: got 5"),
    ],
)
def test_mistakes_are_one_line(causal_folder, capsys, monkeypatch, arguments, stdin, message):
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    assert main(["next", str(causal_folder / "causal_lm"), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_masked_model_is_refused(causal_folder, capsys):
    assert main(["next", str(causal_folder / "masked_lm"), "a"]) == 2
    assert "it was trained as masked_lm" in capsys.readouterr().err
