import math

import numpy as np

from jaxlm import decoding, reports, training
from jaxlm.reports._tables import printable_token

SCORES = training.Evaluation(
    nll=2.0,
    perplexity=math.exp(2),
    accuracy=0.5,
    top_5_accuracy=0.75,
    calibration_error=0.0325,
    scored=10,
    tokens=80,
    overflow=0,
    unigram_nll=4.5,
    unigram_perplexity=math.exp(4.5),
    unigram_accuracy=0.125,
)


def cells(table):
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def test_scores_stand_beside_the_baseline_with_model_minus_baseline():
    assert cells(reports.evaluation_table(SCORES)) == [
        ["", "model", "unigram baseline", "difference"],
        ["loss (nats a token)", "2.000", "4.500", "-2.500"],
        ["perplexity", "7.39", "90.02", "-82.63"],
        ["accuracy", "50.0 %", "12.5 %", "+37.5 %"],
        ["among the top 5", "75.0 %", "", ""],
        ["calibration error", "3.2 %", "", ""],
    ]


def test_bits_per_byte_are_shown_where_they_are_known():
    assert cells(reports.evaluation_table(SCORES._replace(bits_per_byte=1.5)))[-1][:2] == [
        "bits per byte",
        "1.500",
    ]


def test_a_classifier_and_a_regression_stand_beside_what_the_labels_alone_give():
    classes = training.SequenceEvaluation(loss=0.5, accuracy=0.9, records=9, tokens=90, baseline_loss=0.75)
    assert cells(reports.evaluation_table(classes)) == [
        ["", "model", "labels only", "difference"],
        ["loss (nats a record)", "0.500", "0.750", "-0.250"],
        ["accuracy", "90.0 %", "", ""],
    ]
    numbers = classes._replace(accuracy=math.nan)
    assert cells(reports.evaluation_table(numbers))[1:] == [
        ["squared error (1 = labels' variance)", "0.500", "0.750", "-0.250"]
    ]


def test_without_a_baseline_only_the_model_is_shown():
    nan = {f"unigram_{name}": math.nan for name in ("nll", "perplexity", "accuracy")}
    assert [row[:3] for row in cells(reports.evaluation_table(SCORES._replace(**nan)))][:2] == [
        ["", "model"],
        ["loss (nats a token)", "2.000"],
    ]


def test_each_mask_is_numbered_once_and_its_candidates_follow():
    first = decoding.MaskPrediction(2, (decoding.Candidate(7, "[x]", 0.5), decoding.Candidate(8, " y", 0.25)))
    second = decoding.MaskPrediction(4, (decoding.Candidate(9, "z", 1.0),))
    table = reports.fill_table(decoding.FilledText(np.arange(5), "text", (first, second)))
    assert cells(table)[1:] == [
        ["1", "2", "[x]", "0.5000", "█" * 10],  # a bracketed token is no markup
        ["", "", "' y'", "0.2500", "█" * 5],
        ["2", "4", "z", "1.0000", "█" * 20],
    ]


def test_tokens_that_cannot_be_seen_are_spelled_out():
    assert [printable_token(token) for token in ("a", "", "\n", "a\tb", "a b", "é")] == [
        "a",
        "''",
        "'\\n'",
        "'a\\tb'",
        "a b",
        "é",
    ]
