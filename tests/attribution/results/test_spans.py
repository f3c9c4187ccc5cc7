"""Neighbours as one unit: rows, columns, step functions and what belongs to them, by hand."""

import numpy as np
import pytest

from jaxlm import tokenizers
from jaxlm.attribution import aggregate, merge_spans, merge_words
from jaxlm.errors import UsageError
from tests.attribution.results.examples import causal, translation


def test_words_merge_inputs_and_predictions_the_last_one_too():
    result = causal()
    words = merge_words(
        result._replace(tokens=(*result.tokens[:5], "ing"), target_tokens=(" sl", "eeps", "ing"))
    )
    assert words.tokens == ("The", " old", " man", " sleepsing")
    assert words.target_tokens == (" sleepsing",)
    assert words.token_ids.tolist() == [10, 11, 12, -1] and words.targets.tolist() == [-1]
    assert words.positions.tolist() == [3]
    # Of each word the largest magnitude with its sign, over the three predictions.
    columns = [aggregate(result.scores[rows].reshape(-1), "absmax", 0) for rows in ([0], [1], [2], [3, 4, 5])]
    np.testing.assert_array_equal(words.scores[:, 0], columns)
    # Probabilities are multiplied, nats added, and of logits the largest magnitude is taken.
    assert words.values.tolist() == [0.5 * 0.25 * 0.125]
    assert words.step_scores["entropy"].tolist() == [6.0]
    assert words.step_scores["logit"].tolist() == [-0.875]
    assert words.completeness_error is None


def test_predictions_may_stay_as_they_are():
    words = merge_words(causal(), function="sum", merge_predictions=False)
    assert words.tokens == ("The", " old", " man", " sleeps.") and words.scores.shape == (4, 3)
    assert words.positions.tolist() == [3, 3, 3]
    np.testing.assert_allclose(np.nansum(words.scores, 0), np.nansum(causal().scores, 0), rtol=1e-6)
    np.testing.assert_array_equal(words.completeness_error, causal().completeness_error)
    assert np.isnan(words.scores[3, 0]) and words.scores[3, 2] == aggregate(causal().scores[3:, 2], "sum", 0)


def test_both_sides_of_a_translation():
    words = merge_words(translation())
    assert words.source_tokens == ("▁the", "▁dog") and words.tokens == ("<pad>", "▁der", "▁hund")
    np.testing.assert_array_equal(words.source_scores, np.array([[0.25, 0.5], [1.0, -0.75]], np.float32))
    np.testing.assert_array_equal(words.scores, translation().scores)


def test_spans_of_either_side_by_a_named_function():
    merged = merge_spans(translation(), [(1, 3)], source_spans=[(0, 2)], function="mean")
    assert merged.tokens == ("<pad>", "▁der▁hund") and merged.target_tokens == ("▁der▁hund",)
    assert merged.source_tokens == ("▁the▁do", "g")
    np.testing.assert_array_equal(merged.source_scores, np.array([[-0.0625], [0.75]], np.float32))
    np.testing.assert_array_equal(merged.scores, np.array([[0.125], [1.0]], np.float32))


def test_granular_scores_are_merged_along_tokens_alone():
    granular = causal(scores=np.stack([causal().scores, -causal().scores], -1))
    merged = merge_spans(granular, [(0, 2)])
    assert merged.scores.shape == (5, 3, 2)
    np.testing.assert_array_equal(merged.scores[0, :, 0], causal().scores[0])


def test_predictions_that_are_no_neighbours_stay_apart():
    masked = causal(positions=np.array([0, 3, 4], np.int32))
    assert merge_spans(masked, [(0, 5)]).target_tokens == (" sl", "eeps.")
    assert merge_spans(
        masked._replace(positions=np.array([-1, -1, 4], np.int32)), [(0, 5)]
    ).positions.tolist() == [
        -1,
        -1,
        0,
    ]


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 7)], r"within the 6 tokens: got \(0, 7\)"),
        ([(2, 2)], r"got \(2, 2\)"),
        ([(0, 2), (1, 3)], r"do not overlap: got \(1, 3\) behind one that ends at 2"),
    ],
)
def test_wrong_spans_are_refused(spans, message):
    with pytest.raises(UsageError, match=message):
        merge_spans(causal(), spans)
    with pytest.raises(UsageError, match="source tokens"):
        merge_spans(causal(), source_spans=[(0, 1)])


def test_words_as_the_tokenizer_divides_them():
    subwords = tokenizers.train_subwords(["low lower lowest", "low"], vocab_size=263)
    ids = subwords.encode("low, slow")
    tokens = tuple(subwords.token(id) for id in ids)
    result = causal(
        tokens=tokens,
        token_ids=ids,
        positions=np.array([4], np.int32),
        targets=ids[4:],
        target_tokens=tokens[4:],
        scores=np.arange(5, dtype=np.float32)[:, None],
        values=None,
        baseline_values=None,
        completeness_error=None,
        step_scores={},
    )
    assert merge_words(result, tokenizer=subwords).tokens == ("low", ",", " slow")
    assert merge_words(result).tokens == ("low,", " slow")
