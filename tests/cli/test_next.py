"""`jaxlm next` on a tiny model: what it prints is what `decoding.next_tokens` returns."""

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxlm import decoding, pretrained
from jaxlm.cli import _next, main
from jaxlm.decoding import _next_tokens

ROOT = Path(__file__).parents[2]


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


def test_lines_are_answered_while_others_are_still_to_come(causal_folder, monkeypatch):
    """No more of them wait than are read as a block, however many there are."""
    drawn, ahead = [], []
    lines = (drawn.append(number) or f"{number}\n" for number in range(500))
    monkeypatch.setattr("sys.stdin", lines)
    monkeypatch.setattr(_next, "print", lambda line: ahead.append(len(drawn) - len(ahead)), raising=False)
    assert main(["next", str(causal_folder / "causal_lm"), "-", "--json"]) == 0
    assert len(ahead) == 500 and max(ahead) <= 2 * _next_tokens.TEXTS_READ + 1


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_lines(causal_folder, tmp_path):
    def peak(num_lines):
        file = tmp_path / f"{num_lines}.txt"
        file.write_text("".join(f"{number % 1000}\n" for number in range(num_lines)))
        with file.open() as lines:
            done = subprocess.Popen(
                [sys.executable, "-m", "jaxlm", "next", str(causal_folder / "causal_lm"), "-", "--json"],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=lines,
                stdout=subprocess.DEVNULL,
            )
            _, status, used = os.wait4(done.pid, 0)
            done.returncode = os.waitstatus_to_exitcode(status)
        assert done.returncode == 0
        return used.ru_maxrss

    peak(500)  # compiles what the others find in the cache
    assert peak(20_000) < 1.1 * peak(500)


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
