import math

import numpy as np

from jaxlm import decoding, reports, scoring, training
from jaxlm.decoding.bytes import ByteLogProbs
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


def test_next_bytes_are_named_with_bars():
    probs = np.full(257, 1e-12)
    probs[[101, 32, 10, 0xC3, 92, 256]] = 0.5, 0.25, 0.125, 0.0625, 0.05, 0.0125
    view = ByteLogProbs(np.log(probs))
    assert cells(reports.next_bytes_table(view, 6)) == [
        ["next byte", "probability", ""],
        ["e", "0.5000", "█" * 10],
        ["' '", "0.2500", "█" * 5],
        ["\\x0a", "0.1250", "█" * 2],
        ["\\xc3", "0.0625", "█"],
        ["\\", "0.0500", "█"],
        ["end of text", "0.0125", ""],
    ]
    assert len(cells(reports.next_bytes_table(view, 2))) == 3


def test_models_of_bytes_stand_beside_each_other():
    one = scoring.ByteEvaluation(3, 1, 80, -55.4518, 0.0, "stem")
    other = one._replace(log_likelihood=-110.9035, dropped=0.00123)
    assert cells(reports.byte_evaluation_table({"./gpt2": one, "./qwen": other})) == [
        ["", "bits per byte", "log P (nats)", "P", "left out of P"],
        ["./gpt2", "1.0000", "-55.45", "P_stem", "0"],
        ["./qwen", "2.0000", "-110.90", "P_stem", "1.2e-03"],
    ]
