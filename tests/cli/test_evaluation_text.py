"""What is printed of scores: compressors beside bits per byte, and every metric by level of noise."""

import json
import lzma
import math
import zlib

import pytest

from jaxlm import data, tokenizers, training
from jaxlm.cli._evaluation_text import as_values, show_scores

SCORES = training.Evaluation(
    nll=2.0,
    perplexity=math.exp(2),
    accuracy=0.5,
    top_5_accuracy=0.75,
    calibration_error=0.03,
    scored=10,
    tokens=80,
    overflow=0,
    bits_per_byte=1.25,
)
LEVELS = (
    training.LevelSummary(0.1, 0.2, 1.5, 4.48, 0.625, 0.875, 0.015, 300.0),
    training.LevelSummary(0.9, 1.0, 2.5, 12.18, 0.25, 0.375, 0.045, 700.0),
)


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("".join(f"line {n} of words {n * n}\n" for n in range(300)))
    return training.Experiment(
        data=data.DataConfig(paths=(str(path),), test_share=0.3),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
    )


def test_compressors_stand_beside_bits_per_byte_of_the_same_text(experiment, capsys):
    prepared = data.prepare(experiment.data, experiment.tokenizer)
    cache = prepared.caches["test"]
    text = "".join(prepared.tokenizer.decode(cache[index]) for index in range(len(cache))).encode()
    show_scores(SCORES, experiment)
    shown = capsys.readouterr().out
    packed, smaller = zlib.compress(text, 9), lzma.compress(text, preset=9)
    bits = [8 * len(one) / len(text) for one in (packed, smaller)]
    assert f"bits per byte: zlib {bits[0]:.3f}, xz {bits[1]:.3f}" in shown
    assert "1.250" in shown


def test_without_the_whole_text_nothing_is_compared(experiment, capsys):
    show_scores(SCORES._replace(bits_per_byte=math.nan), experiment)
    show_scores(SCORES, experiment, is_own=False)
    assert "zlib" not in capsys.readouterr().out


def test_every_metric_is_shown_by_level_of_noise(experiment, capsys):
    show_scores(SCORES._replace(by_level=LEVELS), experiment, is_own=False)
    lines = capsys.readouterr().out.splitlines()
    rows = [" ".join(line.split()) for line in lines if " to " in line]
    assert rows == [
        "10 to 20 % 300 1.500 4.48 62.5% 87.5% 1.5%",
        "90 to 100 % 700 2.500 12.18 25.0% 37.5% 4.5%",
    ]
    show_scores(SCORES._replace(by_level=LEVELS[:1]), experiment, is_own=False)
    assert "corrupted" not in capsys.readouterr().out  # one level tells nothing that the table does not


def test_as_json_what_is_not_finite_is_null_and_levels_are_objects():
    scores = as_values(SCORES._replace(by_level=LEVELS))
    again = json.loads(json.dumps(scores, allow_nan=False))
    assert again["unigram_nll"] is None and again["bits_per_byte"] == 1.25
    assert [level["calibration_error"] for level in again["by_level"]] == [0.015, 0.045]
    assert again["by_level"][0].keys() == set(training.LevelSummary._fields)
    assert "by_level" not in as_values(SCORES)
