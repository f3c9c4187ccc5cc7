"""Step functions of corpora: the values of `steps.step_scores`, in the rows of a job."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxlm import data, scoring, steps
from tests.scoring.conftest import small_lm
from tests.scoring.fakes import contents, run

CLOSE = 1e-5  # float32
FUNCTIONS = ("entropy", "top_p_size=0.9", "crossentropy", "kl_divergence(top_k=20)", "pcxmi")
TEXTS = ["the souvenir of the traveler", "a traveler lost the souvenirs", "lost", "the", "was lost there"]
OTHERS = ["the souvenir of a traveler", "a traveler lost the souvenir", "was", "a", "was there there"]
ENGINE = scoring.EngineConfig(row_length=32, rows=4, buffer=8, devices=tuple(jax.devices()[:2]))


@pytest.fixture(scope="module")
def causal(word_lm):
    return small_lm(word_lm.tokenizer, "causal_lm", seed=5, causal=True)._replace(
        extra={"experiment": {"data": {"ends": True}}}
    )


@pytest.fixture(scope="module")
def compared(causal):
    """A scorer of all functions, and the records that it is asked about."""
    measure = scoring.StepScores(functions=FUNCTIONS, contrast="other", alignment="last_common")
    pairs = enumerate(zip(TEXTS, OTHERS, strict=True))
    records = [data.Record(str(number), text, {"other": other}) for number, (text, other) in pairs]
    return scoring.make_scorer(causal, measure, ENGINE), records


@pytest.fixture(scope="module")
def expected(causal):
    contrast = steps.Contrast(texts=OTHERS, alignment="last_common")
    return steps.step_scores(causal, TEXTS, [*map(steps.parse_step_function, FUNCTIONS)], contrast=contrast)


def numbers(values):
    return np.array([np.nan if value is None else value for value in values], np.float64)


def test_values_and_spans_are_those_of_step_scores(compared, expected):
    scorer, records = compared
    for row, theirs in zip(scorer(records), expected, strict=True):
        assert row["num_scored"] == len(theirs.tokens) == row["num_tokens"]
        assert row["token_strings"] == theirs.strings
        others = [-1 if id is None else id for id in row["token_contrast_ids"]]
        assert others == theirs.contrast_tokens.tolist()
        for name, values in theirs.values.items():
            np.testing.assert_allclose(numbers(row[f"token_{name}"]), values, atol=CLOSE, rtol=CLOSE)
            np.testing.assert_allclose(row[name], theirs.spans[name], atol=1e-4, rtol=1e-4)


def test_units_are_those_of_the_table(compared):
    fields = {field.name: field for field in compared[0].schema}
    assert fields["entropy"].metadata == fields["token_entropy"].metadata == {b"unit": b"nats"}
    assert fields["token_pcxmi"].metadata == {b"unit": b"bits"}
    assert fields["top_p_size(top_p=0.9)"].metadata == {b"unit": b"tokens"}


def test_a_job_of_them_is_in_shards_and_in_bits(compared, expected, tmp_path):
    scorer, records = compared
    corpus = scoring.Source(lambda: iter(records), {"name": "a list"}, lambda: len(records))
    for shard in ((2, 2), (1, 2)):
        config = scoring.JobConfig(part_documents=2, shard=shard, base="2")
        finished = run(tmp_path / "shards", config=config, scorer=scorer, corpus=corpus)
    run(tmp_path / "whole", config=dataclasses.replace(config, shard=(1, 1)), scorer=scorer, corpus=corpus)
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")
    assert finished.summary["documents"] == len(records) and not finished.summary["errors"]
    rows = [row for table in scoring.read_parts(str(tmp_path / "whole")) for row in table.to_pylist()]
    for row, theirs in zip(rows, expected, strict=True):
        np.testing.assert_allclose(
            numbers(row["token_entropy"]), theirs.values["entropy"] / np.log(2), atol=CLOSE, rtol=CLOSE
        )
        np.testing.assert_allclose(row["pcxmi"], theirs.spans["pcxmi"], atol=1e-4)
    table = next(scoring.read_parts(str(tmp_path / "whole")))
    assert scoring.item_rows(table, "token").num_rows == sum(row["num_tokens"] for row in rows[:2])


def test_long_texts_are_read_in_windows_each_token_in_one(causal, log_probs_of):
    measure = scoring.StepScores(functions=("crossentropy",), window=8, context=4)
    text = "the souvenir of the traveler was lost there"
    (score,) = scoring.score(causal, text, measure, ENGINE)
    plain = scoring.LogLikelihood(window=8, context=4, tokens=True)
    (other,) = scoring.score(causal, text, plain, ENGINE)
    assert score.values["num_scored"] > 8
    np.testing.assert_allclose(
        numbers(score.values["token_crossentropy"]), -numbers(other.values["token_log_probs"]), atol=CLOSE
    )


def test_a_masked_model_is_asked_at_the_masks_of_a_text(word_lm):
    text = "the [MASK] of the [MASK]"
    (score,) = scoring.score(word_lm, text, scoring.StepScores(functions=("entropy",)), ENGINE)
    (theirs,) = steps.step_scores(word_lm, text, "entropy")
    assert score.values["num_scored"] == 2
    found = numbers(score.values["token_entropy"])
    np.testing.assert_allclose(found[~np.isnan(found)], theirs.values["entropy"], atol=CLOSE)
    (score,) = scoring.score(word_lm, "the", scoring.StepScores(functions=("entropy",)), ENGINE)
    assert "none in the text" in score.error


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "functions: name some of logit"),
        ({"functions": ("entropie",)}, "did you mean 'entropy'"),
        ({"functions": ("entropy", "entropy")}, "entropy is there twice"),
        ({"functions": ("kl_divergence",)}, "kl_divergence compares two texts"),
        ({"functions": ("entropy",), "contrast": "other"}, "none of entropy compares"),
        ({"functions": ("mc_dropout_prob_avg",)}, "draws, and a corpus has no key"),
        ({"functions": ("top_p_size=2.5",)}, r"top_p is a probability in \[0, 1\]: got 2.5"),
    ],
)
def test_what_a_corpus_cannot_be_asked_is_refused_before_anything_is_read(causal, options, reason):
    with pytest.raises(scoring.ScoreError.__bases__[0], match=reason):
        scoring.make_scorer(causal, scoring.StepScores(**options), ENGINE)


def test_a_masked_text_hides_the_token_that_stands_there(word_lm):
    with pytest.raises(scoring.ScoreError, match="probability reads the token at a mask"):
        scoring.make_scorer(word_lm, scoring.StepScores(functions=("probability",)), ENGINE)


def test_documents_that_cannot_be_compared_have_rows_that_say_why(compared):
    scorer, _ = compared
    one = dataclasses.replace(scorer.measure, alignment="one_to_one")
    records = [
        data.Record("0", "the souvenir", {}),
        data.Record("1", "the souvenir", {"other": "the"}),
        data.Record("2", "the souvenir", {"other": ""}),
        data.Record("3", "the " * 40, {"other": "the " * 40}),
    ]
    measure, scorer.measure = scorer.measure, one
    try:
        errors = [row["error"] for row in scorer(records)]
    finally:
        scorer.measure = measure
    reasons = ("no contrast 'other' beside the text", "as many tokens", "contrast: no tokens", "read at once")
    assert all(reason in error for reason, error in zip(reasons, errors, strict=True))
