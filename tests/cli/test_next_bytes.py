"""`jaxlm next --unit byte` on tiny models: what it prints is what states over bytes say."""

import json
import math

import numpy as np
import pytest

from jaxlm import pretrained
from jaxlm.cli import main
from jaxlm.decoding.bytes import make_byte_model, score_bytes, tree_state


@pytest.fixture(scope="module")
def byte_model(letters_folder):
    return make_byte_model(pretrained.load(letters_folder))


def test_json_has_what_the_state_says(letters_folder, byte_model, capsys):
    assert (
        main(["next", str(letters_folder), "ab", "--unit", "byte", "--target", "ba", "-k", "9", "--json"])
        == 0
    )
    values = json.loads(capsys.readouterr().out)
    state = tree_state(byte_model, b"ab")
    top = state.logp_next().top(9)
    assert values["top_bytes"] == list(top) and set(top) == {97, 98, 256}
    assert values["probabilities"] == pytest.approx(np.exp(list(top.values())).tolist(), rel=1e-4)
    assert math.fsum(values["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert values["log_prob"] == pytest.approx(state.log_prob, abs=1e-5)
    assert (values["probability"], values["dropped"], values["sentence_bytes"]) == ("stem", 0, [97, 98])
    (scores,) = score_bytes(byte_model, "abba")
    assert values["target_log_probs"] == pytest.approx(scores.log_probs[2:].tolist(), abs=1e-5)
    assert values["loss"] == pytest.approx(-scores.log_probs[2:].mean(), abs=1e-5)
    assert values["bits_per_byte"] == pytest.approx(values["loss"] / math.log(2))


def test_a_person_reads_a_table_of_80_columns(letters_folder, byte_model, capsys):
    assert main(["next", str(letters_folder), "ab", "", "--unit", "byte", "--target", "b"]) == 0
    shown = capsys.readouterr().out
    state = tree_state(byte_model, b"ab")
    view = state.logp_next()
    bits = -state.log_prob / math.log(2) / 2
    assert shown.startswith("ab\n") and "next byte" in shown and "end of text" in shown
    for probability in np.exp(list(view.top(3).values())):
        assert f"{probability:.4f}" in shown and "█" * round(20 * probability) in shown
    assert f"log P of the text: {state.log_prob:.4f} nats, 2 bytes, {bits:.3f} bits a byte" in shown
    assert shown.count("log P of the text") == 1  # the empty text has none
    assert shown.count("target: ") == 2 and shown.count("P is P_stem, of texts that begin so") == 1
    assert max(map(len, map(str.rstrip, shown.splitlines()))) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--unit", "byte", "-k", "0"], "--top-k is at least 1"),
        (["--unit", "byte"], "TEXT is missing"),
        (["abd", "--unit", "byte"], "no token of this model can write the byte b'd'"),
        (["a", "--unit", "byte", "--target", "d"], "no token of this model can write the byte b'd'"),
        (["ab" * 40, "--unit", "byte"], "the model reads at most 32"),
        (["a", "--opening", "x"], "--opening is for bytes: add --unit byte"),
        (["a", "--unit", "letter"], "--unit is one of 'token', 'byte', got 'letter'"),
    ],
)
def test_mistakes_are_one_line(letters_folder, capsys, arguments, message):
    assert main(["next", str(letters_folder), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_models_without_bytes_are_refused(causal_folder, pieces_folder, capsys):
    assert main(["next", str(causal_folder / "masked_lm"), "a", "--unit", "byte"]) == 2
    assert "--unit byte needs a causal LM" in capsys.readouterr().err
    assert main(["next", str(pieces_folder), "a", "--unit", "byte"]) == 2
    assert "are not known" in capsys.readouterr().err
    assert main(["next", str(causal_folder / "causal_lm"), "", "--unit", "byte"]) == 2
    assert (
        "has no token that begins texts: write some, or name tokens with --opening" in capsys.readouterr().err
    )
