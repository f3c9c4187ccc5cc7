"""The probability of every byte in one pass, against the enumeration of all covers."""

import itertools

import jax
import numpy as np
import pytest

from jaxlm.decoding.bytes import _stem_readings, make_byte_model, score_bytes, tree_state
from jaxlm.errors import UsageError
from tests.decoding.bytes import oracle
from tests.decoding.bytes.small_models import MERGES, asked, byte_model, loaded_model, merges_tokenizer

_, ENCODE = oracle.bpe(b"abc", MERGES)
TEXTS = [bytes(text) for size in range(1, 6) for text in itertools.product(b"abc", repeat=size)][::3]
TEXTS += [b"", b"abacabba", b"cababbac"]
TEXT = (
    "the cats' hats, naïve café 漢字 <|endoftext|> 👩‍👩‍👧 12345\n\n"
    "  def f(self):\n        return it's\t zzz  <tool> end."
)
# Its distributions are so peaked that stems which were left out join again with more than what is there.
PEAKED = loaded_model(merges_tokenizer(), init_std=1.0)
KINDS = [
    "byte-level",
    "byte-level, spaced",
    "whole words",
    "Llama, legacy",
    "Llama",
    "unigrams and bytes",
    "bytes",
]


@pytest.mark.parametrize(
    "options", [{}, {"eos_ids": (2, 7)}, {"opening": (2, 7)}, {"eos_ids": ()}, {"opening": ()}], ids=str
)
def test_stems_are_enumerated(options):
    model = byte_model(**options)
    lm = asked(model)
    texts = [text for text in TEXTS if 2 not in model.eos_ids or b"c" not in text]
    for text, scores in zip(texts, score_bytes(model, texts), strict=True):
        assert scores.name == "stem" and scores.dropped == 0
        np.testing.assert_allclose(scores.log_prob, oracle.stem_log_prob(lm, text, ENCODE), atol=1e-5)
        whole = oracle.stem_whole_log_prob(lm, text, ENCODE)
        np.testing.assert_allclose(scores.log_prob + scores.end_log_prob, whole, atol=1e-5)


def test_canonical_covers_are_enumerated():
    model = byte_model(probability="canonical")
    lm = asked(model)
    for text, scores in zip(TEXTS, score_bytes(model, TEXTS), strict=True):
        assert scores.name == "canonical"
        np.testing.assert_allclose(scores.log_prob, oracle.canonical_log_prob(lm, text, ENCODE), atol=1e-5)


def test_the_three_probabilities_are_in_order():
    lm = asked(byte_model())
    canonical = score_bytes(byte_model(probability="canonical"), TEXTS)
    for text, lower, middle in zip(TEXTS, canonical, score_bytes(byte_model(), TEXTS), strict=True):
        assert lower.log_prob <= middle.log_prob + 1e-5
        assert middle.log_prob <= oracle.prefix_log_prob(lm, text) + 1e-5


@pytest.mark.parametrize("probability", ["stem", "canonical"])
def test_what_may_follow_has_no_more_than_the_mass_of_a_text(probability):
    """A model gives mass to ids that are not canonical: it is lost where their last byte was read."""
    model = byte_model(probability=probability)
    for text in TEXTS[::7]:
        state = tree_state(model, text)
        assert np.logaddexp.reduce(state.joint_next()) <= state.log_prob + 1e-5


def test_what_may_follow_shares_the_mass_of_a_text_where_bytes_have_one_division():
    model = make_byte_model(loaded_model(merges_tokenizer(merges=())))
    lm = asked(model)
    for text in (b"", b"a", b"cab", b"bbacca"):
        state = tree_state(model, text)
        np.testing.assert_allclose(np.logaddexp.reduce(state.joint_next()), state.log_prob, atol=1e-5)
        np.testing.assert_allclose(state.log_prob, oracle.prefix_log_prob(lm, text), atol=1e-5)


def test_log_probs_are_those_of_bytes_given_those_before():
    model = byte_model()
    prefixes = [b"abacabba"[:size] for size in range(9)]
    *shorter, whole = score_bytes(model, prefixes)
    sums = [0.0, *np.cumsum(whole.log_probs)]
    np.testing.assert_allclose([scores.log_prob for scores in [*shorter, whole]], sums, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_one_pass_is_stepping(name):
    model = byte_model(name)
    (scores,) = score_bytes(model, [TEXT])
    state, log_probs = tree_state(model), []
    for byte in TEXT.encode():
        longer = state << byte
        log_probs.append(longer.log_prob - state.log_prob)
        state = longer
    # Two programs sum float32 log-probs of about 10 in other orders: a few units in the last place of each.
    np.testing.assert_allclose(scores.log_probs, log_probs, rtol=4e-6, atol=1e-5)
    if model.eos_ids:
        end = state.joint_next()[256] - state.log_prob
        np.testing.assert_allclose(scores.end_log_prob, end, rtol=4e-6, atol=1e-5)
    assert np.isfinite(scores.log_probs).all() and (scores.log_probs < 1e-5).all()


@pytest.mark.parametrize("max_stems", [1, 2])
def test_stems_beyond_the_bound_are_counted_alike(max_stems):
    model, all_stems = byte_model("Llama", max_stems=max_stems), byte_model("Llama")
    (scores,), (whole,) = (score_bytes(each, [TEXT]) for each in (model, all_stems))
    state = tree_state(model)
    for byte in TEXT.encode():
        state = state << byte
    np.testing.assert_allclose(scores.log_prob, state.log_prob, atol=1e-4)
    np.testing.assert_allclose(scores.dropped, state.dropped, atol=1e-5)
    assert 0 < scores.dropped < 1 and scores.log_prob <= whole.log_prob + 1e-5


@pytest.mark.parametrize("name", ["byte-level", "Llama"])
def test_a_batch_is_each_text_alone(name, monkeypatch):
    model = byte_model(name)
    texts = [TEXT, "", "the", TEXT[:40] * 2, b"\xe6\xbc", "a"]
    together = score_bytes(model, texts)
    monkeypatch.setattr(_stem_readings, "SLOTS_AT_ONCE", 1)
    monkeypatch.setattr(_stem_readings, "NODES_OF_A_CALL", 64)
    monkeypatch.setattr(_stem_readings, "LOG_PROBS_AT_ONCE", {"cpu": 1 << 13})
    alone = [score_bytes(model, [text])[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
        np.testing.assert_allclose(one.end_log_prob, other.end_log_prob, atol=1e-5)


@pytest.mark.parametrize("probability", ["stem", "canonical"])
def test_eight_devices_are_one(probability):
    model = byte_model(probability=probability)
    texts = [TEXTS[index % len(TEXTS)] * 2 for index in range(11)]
    options = {"window": 10, "context": 5}
    assert len(jax.local_devices()) == 8
    on_eight = score_bytes(model, texts, **options)
    on_one = score_bytes(model, texts, devices=jax.local_devices()[:1], **options)
    for one, other in zip(on_eight, on_one, strict=True):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
        np.testing.assert_allclose(one.end_log_prob, other.end_log_prob, atol=1e-5)


def test_spans_are_sums_and_prefixes():
    model, text = byte_model(), b"abacabba"
    (scores,) = score_bytes(model, [text])
    spans = [(0, 8), (0, 3), (3, 8), (2, 2), (5, 6)]
    found = scores.surprisals(spans)
    lm = asked(model)
    before, after = (
        [oracle.stem_log_prob(lm, text[: span[side]], ENCODE) for span in spans] for side in (0, 1)
    )
    np.testing.assert_allclose(found, np.subtract(before, after), atol=1e-5)
    assert found[3] == 0 and np.signbit(found[3]) == 0
    np.testing.assert_allclose(found[0], found[1] + found[2], atol=1e-12)
    for span in [(3, 2), (-1, 2), (0, 9)]:
        with pytest.raises(UsageError, match="spans lie in the text's 8 bytes"):
            scores.surprisals([span])


@pytest.mark.parametrize("max_stems", [1, 2])
def test_a_byte_is_never_likelier_than_certain(max_stems):
    """However few stems are live: what is left out and joins again adds nothing, for scores and states."""
    model, rng = make_byte_model(PEAKED, max_stems=max_stems), np.random.default_rng(1)
    texts = [bytes(rng.choice(list(b"abc"), size=24).tolist()) for _ in range(32)]
    dropped = 0
    for text, scores in zip(texts, score_bytes(model, texts), strict=True):
        lm = asked(model)
        assert (scores.log_probs <= 0).all() and np.isfinite(scores.log_probs).all()
        assert scores.end_log_prob <= 0
        # Sums of float32 log-probs near -100, whose units are 8e-6.
        assert scores.log_prob <= oracle.stem_log_prob(lm, text, ENCODE) + 5e-5
        dropped += scores.dropped > 0
    assert dropped > 0
    state = tree_state(model)
    for byte in texts[0]:
        longer = state << byte
        assert longer.log_prob <= state.log_prob and state.joint_next().max() <= state.log_prob
        # The sum over the stems before some of them are left out.
        assert longer.log_prob <= state.joint_next()[byte] + 1e-5
        state = longer
    np.testing.assert_allclose(state.log_prob, score_bytes(model, texts[0])[0].log_prob, atol=1e-4)


def test_a_window_is_of_ancestors():
    model = byte_model(window=3)
    lm = asked(model)
    for text, scores in zip(TEXTS[-3:], score_bytes(model, TEXTS[-3:]), strict=True):
        np.testing.assert_allclose(scores.log_prob, oracle.stem_log_prob(lm, text, ENCODE), atol=1e-5)


def test_bytes_without_mass_have_no_probability():
    """Without the byte-fallback of a character nothing can follow its first byte but the character."""
    (scores,) = score_bytes(byte_model("unigrams"), ["漢".encode()[:1] + b"t"])
    assert scores.log_probs[0] > -np.inf and scores.log_probs[1] == -np.inf
    assert scores.end_log_prob == -np.inf


def test_where_bytes_force_the_tokens_it_is_the_product_of_tokens():
    model = byte_model("bytes")
    lm = asked(model)
    (scores,) = score_bytes(model, [b"to be"])
    np.testing.assert_allclose(scores.log_prob, lm.log_prob(tuple(b"to be")), atol=1e-5)


def test_one_text_is_a_list_of_one():
    (one,), (other,) = (score_bytes(byte_model(), texts) for texts in (b"abc", ["abc"]))
    np.testing.assert_array_equal(one.log_probs, other.log_probs)
