"""One unmasked pass: the inversion, where it is exact, and where it is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import scoring
from jaxlm.scoring.measures._single_pass import error_factor, masked_windows, unseen_log_probs

SHARES = st.floats(0.01, 0.5)


@given(st.floats(1e-6, 1.0), SHARES, SHARES, st.integers(2, 100))
def test_inverting_what_an_ideal_model_says_of_what_it_sees_gives_the_masked_law(p, keep, random, count):
    each = random / count
    q = p * (keep + each) / (keep * p + each)
    assert unseen_log_probs(np.log([q]), keep, random, count)[0] == pytest.approx(math.log(p), abs=1e-6)


@given(st.floats(-30, 0), SHARES, SHARES, st.integers(2, 100))
def test_an_estimate_is_a_log_probability_below_what_was_seen(seen, keep, random, count):
    found = unseen_log_probs(np.array([seen]), keep, random, count)[0]
    assert -math.inf < found <= min(seen + 1e-9, 0)


def test_errors_grow_by_the_factor_that_is_told():
    for V, told in ((20, 11), (33, 17.5), (30_522, 15_262)):
        each = 0.1 / V
        q = math.log(0.5 * (0.1 + each) / (0.05 + each))
        moved = unseen_log_probs(np.array([q - 1e-9, q]), 0.1, 0.1, V)
        assert (moved[1] - moved[0]) / 1e-9 == pytest.approx(error_factor(0.5, 0.1, 0.1, V), rel=1e-2)
        assert error_factor(0.5, 0.1, 0.1, V) == pytest.approx(told, rel=1e-3)


def test_a_document_is_one_pass_over_the_unmasked_text(protein_lm, rows_of, log_probs_of, context):
    measure = scoring.SinglePass(tokens=True)
    row = rows_of(protein_lm, measure, ["MKTAYI"])[0]
    tokens = protein_lm.tokenizer.encode("MKTAYI")
    seen = log_probs_of(protein_lm, tokens)[np.arange(6), tokens]
    expected = unseen_log_probs(seen, 0.1, 0.1, 20)
    assert measure.resolved(context(protein_lm)).random_ids == 20
    assert row["token_estimates"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert row["pseudo_log_likelihood_estimate"] == pytest.approx(expected.sum(), abs=1e-4)
    assert row["pseudo_perplexity_estimate"] == pytest.approx(math.exp(-expected.mean()), rel=1e-4)


@given(st.integers(1, 60), st.integers(2, 20))
def test_windows_score_every_place_once_and_half_a_window_from_where_they_cut(length, room):
    found = masked_windows(length, room)
    scored = [place for window in found for place in range(window.first, window.last)]
    assert scored == list(range(length))
    for window in found:
        assert 0 <= window.start <= window.first <= window.last <= window.stop <= length
        assert window.stop - window.start == min(room, length)
        assert window.start == 0 or window.first - window.start >= room // 4
        assert window.stop == length or window.stop - window.last >= room // 4


def test_long_texts_are_read_in_windows(protein_lm, rows_of, log_probs_of):
    text = "MKTAYIAKQRQISFVKSHFSRQ"
    row = rows_of(protein_lm, scoring.SinglePass(tokens=True), [text], row_length=10)[0]
    tokens = protein_lm.tokenizer.encode(text)
    for window in masked_windows(len(text), 10):
        log_probs = log_probs_of(protein_lm, tokens[window.start : window.stop])
        for place in range(window.first, window.last):
            seen = log_probs[place - window.start, tokens[place]]
            expected = unseen_log_probs(np.array([seen]), 0.1, 0.1, 20)[0]
            assert row["token_estimates"][place] == pytest.approx(expected, abs=1e-4)
    said = rows_of(protein_lm, scoring.SinglePass(long="error"), [text], row_length=10)[0]
    assert said.startswith("22 tokens, and the model reads at most 10")


def test_where_it_is_not_sound_it_is_refused_with_the_reason(word_lm, protein_lm, context):
    with pytest.raises(scoring.ScoreError, match=r"not sound for 2\d\d ids: errors .* 1\d\d times larger"):
        scoring.SinglePass().resolved(context(word_lm))
    with pytest.raises(scoring.ScoreError, match=r"unchanged and with random tokens.* got shares 0 and 0\.2"):
        scoring.SinglePass(keep_share=0.0, random_share=0.2).resolved(context(protein_lm))
    only_masks = {"experiment": {"input_noise": {"mask_share": 1.0, "keep_share": 0.0, "random_share": 0.0}}}
    with pytest.raises(scoring.ScoreError, match="got shares 0 and 0; use pseudo-log-likelihood"):
        scoring.SinglePass().resolved(context(protein_lm._replace(extra=only_masks)))
    with pytest.raises(scoring.ScoreError, match="were not drawn uniformly"):
        scoring.noise_shares({"experiment": {"input_noise": {"substitute_share": 0.1}}})
