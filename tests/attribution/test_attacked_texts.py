"""Input reduction and HotFlip of texts, on models of bytes; the rules are tested on arrays."""

import numpy as np
import pytest

from jaxlm import attribution
from jaxlm.errors import UsageError
from tests.steps.tiny_models import open_model

TEXTS = ["To be, or not", "Ay!"]
MASKED = ["To [MASK]e, or", "[MASK]y!"]


@pytest.fixture(scope="module")
def causal():
    return open_model("causal")


def test_texts_are_reduced_to_what_predicts_the_same(causal):
    whole = attribution.reduce_texts(causal, TEXTS, keep=["o"])
    for text, reduced in zip(TEXTS, whole, strict=True):
        assert len(reduced.tokens) == len(text) == len(reduced.kept)
        assert all(reduced.kept[i] for i, letter in enumerate(text) if letter == "o")
        again = attribution.reduce_texts(causal, [reduced.token_ids[reduced.kept]])[0]
        assert again.predictions == reduced.predictions
        np.testing.assert_allclose(again.probabilities, reduced.reduced_probabilities, rtol=1e-4)
    alone = attribution.reduce_texts(causal, TEXTS[1], keep=["o"])[0]
    assert alone.kept.tolist() == whole[1].kept.tolist()


def test_texts_are_flipped_to_letters_until_something_else_is_predicted(causal):
    for text, flipped in zip(TEXTS, attribution.flip_texts(causal, TEXTS), strict=True):
        changed = flipped.order >= 0
        assert (flipped.flipped_ids != flipped.token_ids).tolist() == changed.tolist()
        assert all(text[i].isalnum() for i in np.flatnonzero(changed))
        assert all(flipped.flipped_tokens[i].isalnum() for i in np.flatnonzero(changed))
        assert flipped.succeeded == (flipped.predictions != flipped.flipped_predictions)
        # What was done is what a new reading of the changed text predicts.
        again = attribution.reduce_texts(causal, [flipped.flipped_ids])[0]
        assert again.predictions == flipped.flipped_predictions


def test_masks_stay_and_a_target_is_asked_for():
    masked = open_model("masked")
    reduced = attribution.reduce_texts(masked, MASKED)
    for one in reduced:
        assert all(one.kept[i] for i, token in enumerate(one.tokens) if token == "[MASK]")
        assert len(one.predictions) == 1
    aims = [one.prediction_ids[0] for one in attribution.flip_texts(masked, MASKED)]
    already = attribution.flip_texts(masked, MASKED, targets=aims)
    assert all(one.succeeded and (one.order == -1).all() for one in already)


def test_an_encoder_s_text_is_what_is_reduced():
    reduced = attribution.reduce_texts(open_model("seq2seq"), TEXTS[:1])[0]
    assert len(reduced.tokens) == len(TEXTS[0]) and len(reduced.predictions) == 1


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["a"], "every text has a target: got 1 for 2 texts"),
        ([["a", "b"], "c"], "a target for each prediction, 1: got 2"),
        (["no token", "c"], "a target is one token of the vocabulary: got 'no token'"),
    ],
)
def test_targets_that_do_not_fit_are_refused(causal, targets, message):
    with pytest.raises(UsageError, match=message):
        attribution.flip_texts(causal, TEXTS, targets=targets)


def test_no_text_is_refused(causal):
    with pytest.raises(UsageError, match="an attack needs a text: got none"):
        attribution.reduce_texts(causal, [])
