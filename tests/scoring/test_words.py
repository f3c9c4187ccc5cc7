"""Surprisal of words: the corrected probabilities of all words sum to one, uncorrected ones do not."""

import itertools

import numpy as np
import pytest

from jaxlm import scoring, tokenizers
from jaxlm.scoring import _words

# A toy model over the tokens "a", "b", " a", " b" and the end of text; the last row opens a text.
A, B, SPACED_A, SPACED_B, END, OPEN = range(6)
INITIAL = {SPACED_A, SPACED_B}


@pytest.fixture(scope="module")
def toy():
    # Words go on rarely, so that those of more than eight tokens are of no weight.
    weights = np.random.default_rng(0).random((6, 5)) * np.array([0.3, 0.2, 1.0, 1.5, 0.2])
    return np.log(weights / weights.sum(1, keepdims=True))


def beta(toy, token):
    return np.logaddexp.reduce(toy[token, [SPACED_A, SPACED_B, END]])


def unspaced(toy, token):
    return np.logaddexp.reduce(toy[token, [A, B, END]])


def words(starts):
    for length in range(8):
        for rest in itertools.product((A, B), repeat=length):
            yield from ((start, *rest) for start in starts)


def log_prob(toy, before, word, first):
    """Corrected, by the function under test; and as it is."""
    path = (before, *word)
    own = np.array([toy[one, other] for one, other in itertools.pairwise(path)])
    ends = np.array([beta(toy, token) for token in path])
    (corrected,) = _words.word_log_probs([(0, len(word))], own, ends, first)
    return corrected, own.sum()


@pytest.mark.parametrize("before", [A, SPACED_B])
def test_the_words_behind_a_context_and_the_end_sum_to_one(toy, before):
    found = [log_prob(toy, before, word, beta(toy, before)) for word in words((SPACED_A, SPACED_B))]
    corrected, raw = np.exp(found).sum(0)
    end = np.exp(toy[before, END] - beta(toy, before))
    assert corrected + end == pytest.approx(1.0, abs=1e-3)
    assert abs(raw + np.exp(toy[before, END]) - 1.0) > 0.05


def test_the_first_words_of_a_text_sum_to_one(toy):
    found = [log_prob(toy, OPEN, word, unspaced(toy, OPEN))[0] for word in words((A, B))]
    end = np.exp(toy[OPEN, END] - unspaced(toy, OPEN))
    assert np.exp(found).sum() + end == pytest.approx(1.0, abs=1e-3)


def test_corrections_telescope(toy):
    path = (OPEN, A, B, SPACED_A, SPACED_B, B, A)
    own = np.array([toy[one, other] for one, other in itertools.pairwise(path)])
    ends = np.array([beta(toy, token) for token in path])
    found = _words.word_log_probs([(0, 2), (2, 3), (3, 6)], own, ends, ends[0])
    assert sum(found) == pytest.approx(own.sum() + ends[-1] - ends[0])


@pytest.mark.parametrize(
    ("initial", "blank", "spans"),
    [
        ([0, 1, 0, 1], [0, 0, 0, 0], [(0, 1), (1, 3), (3, 4)]),
        ([1, 1, 0], [1, 0, 0], [(0, 3)]),  # white space belongs to the word behind it
        ([0, 1, 1], [0, 1, 1], [(0, 3)]),  # and to the one before at the end
        ([1], [1], [(0, 1)]),
    ],
)
def test_spans(initial, blank, spans):
    assert _words.word_spans([bool(one) for one in initial], [bool(one) for one in blank]) == spans


def test_the_rule_of_a_vocabulary():
    tokenizer = tokenizers.train_subwords(["a low slow low slow"] * 3, vocab_size=270)
    rule = _words.WordRule.of(tokenizer, tokenizer.vocab_size + 2)
    own = [tokenizer.token(id) for id in np.flatnonzero(rule.initial)]
    assert " low" in own and " " in own and "low" not in own and "[MASK]" not in own
    both = np.flatnonzero(rule.sets.all(0))
    assert both.tolist() == [tokenizer.specials.ends[1]] and rule.sets.any(0).all()


def test_a_tokenizer_without_spaces_has_no_such_words():
    with pytest.raises(scoring.ScoreError, match="begin with a space"):
        _words.WordRule.of(tokenizers.residue_tokenizer(), 33)
