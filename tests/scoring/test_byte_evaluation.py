"""Models beside each other in bits per byte: of the documents that all of them can score."""

import math

import pytest

from jaxlm import data, scoring
from tests.decoding.bytes.small_models import loaded_model, merges_tokenizer

TEXTS = ["abacab", "", "abd", "cab", "d", "bb"]


@pytest.fixture(scope="module")
def models():
    """A model of a, b and c with merges, and one that has a d instead of a c, without merges."""
    return [loaded_model(merges_tokenizer()), loaded_model(merges_tokenizer(b"abd", ()))]


def test_documents_that_a_model_cannot_score_are_left_out_for_all(models):
    first, second = scoring.evaluate_bytes(models, lambda: TEXTS)
    for loaded, one in zip(models, (first, second), strict=True):
        own = scoring.score(loaded, ["bb"], "byte-log-likelihood")
        assert (one.documents, one.left_out, one.num_bytes, one.probability) == (1, 5, 2, "stem")
        assert one.log_likelihood == pytest.approx(next(own).values["log_likelihood"], abs=1e-5)
        assert one.nats_per_byte == pytest.approx(-one.log_likelihood / 2)
        assert one.bits_per_byte == pytest.approx(-one.log_likelihood / 2 / math.log(2))
    assert first.reason == "1: no bytes: the text is empty"
    assert second.reason.startswith("0: ") and "b'c'" in second.reason


def test_one_model_counts_all_that_it_can_score(models):
    measure = scoring.ByteLogLikelihood(eos=True)
    (one,) = scoring.evaluate_bytes(iter(models[:1]), lambda: TEXTS, measure)
    rows = [row.values for row in scoring.score(models[0], TEXTS, measure) if row.error is None]
    assert (one.documents, one.left_out) == (3, 3)
    assert one.num_bytes == sum(row["num_bytes"] for row in rows) == 11
    assert one.log_likelihood == pytest.approx(sum(row["log_likelihood"] for row in rows), abs=1e-5)


def test_nothing_to_score_is_not_a_number(models):
    (one,) = scoring.evaluate_bytes(models[:1], lambda: [data.Record("x", "d", {})])
    assert one.documents == 0 and math.isnan(one.bits_per_byte)
    assert one.reason.startswith("x: ") and "b'd'" in one.reason
