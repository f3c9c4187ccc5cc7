"""Distributions of the next byte in one pass, and texts under ensembles, against steps of states."""

import numpy as np
import pytest

from jaxlm.decoding.bytes import (
    ByteEnsemble,
    make_byte_model,
    next_byte_log_probs,
    score_bytes,
    tree_state,
)
from tests.decoding.bytes.small_models import byte_model, loaded_model, merges_tokenizer
from tests.tokenizers.byte_kinds import kind


def stepped(first, text):
    """The distributions after each prefix."""
    rows, state = [], first
    for byte in text:
        rows.append(state.logp_next().log_probs)
        state = state << byte
    return np.stack([*rows, state.logp_next().log_probs])


def agree(found, expected):
    np.testing.assert_array_equal(found == -np.inf, expected == -np.inf)
    possible = expected > -np.inf
    # Two programs sum float32 log-probs of about 10 in other orders.
    np.testing.assert_allclose(found[possible], expected[possible], rtol=4e-6, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("merges", {}), ("merges", {"max_stems": 1}), ("merges", {"probability": "canonical"}), ("Llama", {})],
    ids=str,
)
def test_every_prefix_is_that_of_a_state(name, options):
    model = byte_model(name, **options)
    texts = [b"abacabba", b"", b"cab"] if name == "merges" else ["the cats' 漢 hats".encode()]
    for text, found in zip(texts, next_byte_log_probs(model, texts), strict=True):
        assert found.num_windows == 1
        agree(found.log_probs, stepped(tree_state(model), text))
        (scores,) = score_bytes(model, text)
        assert found.dropped == pytest.approx(scores.dropped, abs=1e-6)


def test_bytes_that_cannot_be_written_have_no_followers():
    model = byte_model("unigrams")
    text = "a漢".encode()[:2] + b"t"
    (found,) = next_byte_log_probs(model, text)
    agree(found.log_probs, stepped(tree_state(model), text))
    assert (found.log_probs[-1] == -np.inf).all() and np.isfinite(found.log_probs[2].max())


def test_without_an_opening_the_first_byte_is_that_of_an_even_choice():
    model = make_byte_model(loaded_model(kind("words")[0], max_length=512, vocab_size=512))
    (found,) = next_byte_log_probs(model, b"the cat")
    data = [data for data in model.token_bytes if data]
    behind = [token[1] for token in data]  # each word begins with the prefix, a space
    shares = np.bincount(behind, minlength=257) / len(data)
    np.testing.assert_allclose(np.exp(found.log_probs[0]), shares, atol=1e-6)


def test_windows_are_those_of_scores():
    model, text = byte_model(), b"abacabbacababbcabaab"
    (found,) = next_byte_log_probs(model, text, window=8, context=4)
    (scores,) = score_bytes(model, text, window=8, context=4)
    assert found.num_windows == scores.num_windows > 1
    own = found.log_probs[np.arange(len(text)), list(text)]
    # A distribution is relative to what may follow, of which there is less than the mass of the text.
    assert (own >= scores.log_probs - 1e-5).all()
    np.testing.assert_allclose(np.exp(found.log_probs.astype(np.float64)).sum(1), 1, atol=1e-5)
    (whole,) = next_byte_log_probs(model, text)
    inside = next(
        index for index in range(20) if not np.allclose(found.log_probs[index], whole.log_probs[index])
    )
    assert inside > 6


@pytest.mark.parametrize("pooling", ["mixture", "product"])
def test_texts_under_an_ensemble_are_steps_of_its_state(pooling):
    tokenizer = merges_tokenizer(b"cab", ((b"c", b"a"), (b"ca", b"b")))
    other = make_byte_model(loaded_model(tokenizer, init_std=0.6, max_length=12))
    ensemble = ByteEnsemble([byte_model(), other], [0.7, 0.4], pooling)
    texts = [b"abacab", b"", b"cabb"]
    for text, scores in zip(texts, score_bytes(ensemble, texts), strict=True):
        rows = stepped(ensemble.state(tree_state), text)
        np.testing.assert_allclose(scores.log_probs, rows[np.arange(len(text)), list(text)], atol=2e-5)
        np.testing.assert_allclose(scores.end_log_prob, rows[-1, 256], atol=2e-5)
        assert (scores.name, scores.dropped, scores.num_windows) == (pooling, 0, 1)
    (long,) = score_bytes(ensemble, [b"abacabbacababbcabaab"])
    assert long.num_windows > 1 and np.isfinite(long.log_probs).all()
