"""`jaxlm score --unit byte` on tiny models: the files it leaves, and one line for what cannot be."""

import json

import pyarrow.parquet as pq
import pytest

from jaxlm import pretrained, scoring
from jaxlm.cli import main
from tests.scoring.fakes import contents

TEXTS = ["ab", "abba", "", "b", "abd", "bab" * 9]


@pytest.fixture
def score(letters_folder, tmp_path):
    """Runs the command with --unit byte on a corpus into tmp_path/out."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))

    def run(*options, model=letters_folder, out="out", unit=("--unit", "byte")):
        return main(["score", str(model), str(corpus), "--out", str(tmp_path / out), *unit, *options])

    return run


def test_rows_are_what_the_library_says(score, letters_folder, tmp_path, capsys):
    assert score("--bytes", "--part-documents", "2") == 0
    rows = pq.read_table(tmp_path / "out" / "parts").to_pylist()
    expected = scoring.score(pretrained.load(letters_folder), TEXTS, scoring.ByteLogLikelihood(bytes=True))
    for row, one in zip(rows, expected, strict=True):
        assert row["error"] == one.error
        if one.error is None:
            assert row["log_likelihood"] == pytest.approx(one.values["log_likelihood"], abs=1e-4)
            assert row["byte_log_probs"] == pytest.approx(one.values["byte_log_probs"], abs=1e-4)
            assert (row["num_bytes"], row["probability"]) == (one.values["num_bytes"], "stem")
    said = capsys.readouterr()
    assert "6 documents, 2 without a score; 34 scored bytes," in said.out and "bits per byte" in said.out
    assert "scored 6 documents (2 without a score)" in said.err and "padding" not in said.err


def test_the_measure_may_be_named_and_the_same_command_goes_on(score, tmp_path, capsys):
    assert score("--json") == 0
    before = contents(tmp_path / "out")
    assert score("--json", "--measure", "byte-log-likelihood") == 0
    assert score("--json", "--measure", "byte-log-likelihood", unit=()) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["parts_before"] == 1 and last["scored_here"] == 0
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokens"], "unknown option --tokens"),
        (["--bos", "none"], "--bos is one of 'document', 'window'"),
        (
            ["--measure", "conditional"],
            "--unit byte is the measure byte-log-likelihood: got the measure cond",
        ),
        (["--step-scores", "entropy"], "got the measure step-scores, too"),
        (["--rows", "4"], "--rows is of rows of tokens, and bytes have none: leave it out"),
        (["--row-length", "4"], "--row-length is of rows of tokens"),
        (["--with-members", "other"], "bytes are scored under one model"),
        (["--max-stems", "0"], "max_stems: expected a whole number from 1, got 0"),
        (["--probability", "beam"], "--probability is one of 'stem', 'canonical'"),
    ],
)
def test_mistakes_are_one_line(score, capsys, options, message):
    assert score(*options) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_models_without_bytes_are_refused(score, causal_folder, pieces_folder, capsys):
    assert score(model=causal_folder / "masked_lm") == 2
    assert "--unit byte needs a causal LM" in capsys.readouterr().err
    assert score(model=pieces_folder) == 2
    said = capsys.readouterr().err
    assert f"{pieces_folder}: the bytes of this tokenizer's tokens are not known" in said


def test_help_names_the_options_of_bytes(score, capsys):
    assert score("--help") == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--unit", "--bytes", "--max-stems", "--probability", "--eos"))
