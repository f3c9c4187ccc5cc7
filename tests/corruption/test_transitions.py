"""BLOSUM62's transitions against reference entries of cortex's matrix."""

import numpy as np
import pytest

from jaxlm import corruption, tokenizers

PLACE = corruption.BLOSUM62_ORDER.index
REFERENCE = {
    "IV": 0.249973,
    "IL": 0.248541,
    "LI": 0.186375,
    "AS": 0.130373,
    "AG": 0.099204,
    "KR": 0.148474,
    "FY": 0.137933,
    "WY": 0.122789,
    "WF": 0.114776,
    "ML": 0.22824,
    "ID": 0.024788,
}
ENTROPIES = {"A": 2.744, "I": 2.380, "L": 2.642, "W": 2.796}


def test_the_scores_are_blosum62s():
    scores = corruption.BLOSUM62
    assert scores.shape == (20, 20) and scores.sum() == -426 and np.trace(scores) == 116
    np.testing.assert_array_equal(scores, scores.T)
    found = {pair: scores[PLACE(pair[0]), PLACE(pair[1])] for pair in ("WW", "CC", "IV", "AS", "GI")}
    assert found == {"WW": 11, "CC": 9, "IV": 3, "AS": 1, "GI": -4}
    assert corruption.BACKGROUND.sum() == pytest.approx(0.9989, abs=1e-9)


def test_the_entries_and_the_entropies_are_the_reference():
    rows = corruption.blosum62_transitions()
    for (first, second), expected in REFERENCE.items():
        assert rows[PLACE(first), PLACE(second)] == pytest.approx(expected, abs=6e-6)
    for letter, expected in ENTROPIES.items():
        row = rows[PLACE(letter)]
        assert -(row[row > 0] * np.log(row[row > 0])).sum() == pytest.approx(expected, abs=6e-4)
    np.testing.assert_allclose(rows.sum(1), 1)
    assert (np.diag(rows) == 0).all()


def test_the_diagonal_may_stay():
    stays = np.diag(corruption.blosum62_transitions(keep_diagonal=True))
    assert corruption.BLOSUM62_ORDER[stays.argmin()] == "M" and stays.min() == pytest.approx(0.14, abs=5e-3)
    assert corruption.BLOSUM62_ORDER[stays.argmax()] == "G" and stays.max() == pytest.approx(0.53, abs=5e-3)


def test_temperature_goes_from_the_best_score_to_the_background():
    cold, hot = (corruption.blosum62_transitions(temperature=value) for value in (1e-3, 1e6))
    assert cold[PLACE("W"), PLACE("Y")] == pytest.approx(1)
    background = corruption.BACKGROUND / (1 - corruption.BACKGROUND[PLACE("A")] - (1 - 0.9989))
    np.testing.assert_allclose(hot[PLACE("A"), PLACE("L")], background[PLACE("L")], rtol=1e-4)
    flat = corruption.blosum62_transitions(temperature=1e6, background="uniform")
    np.testing.assert_allclose(flat[0, 1:], 1 / 19, rtol=1e-4)
    with pytest.raises(ValueError, match=r"a temperature is positive: got 0\.0"):
        corruption.blosum62_transitions(temperature=0.0)


def test_a_vocabulary_of_few_residues_has_rows_of_those_alone():
    letters = {"A": 5, "C": 6, "D": 7, "G": 8, "I": 9, "F": 2, "#": 3}
    rows, own = corruption.vocabulary_transitions(letters, 12), corruption.blosum62_transitions()
    residues = {letter: id_ for letter, id_ in letters.items() if letter != "#"}
    for first, row in residues.items():
        left = sum(own[PLACE(first), PLACE(letter)] for letter in residues)
        for second, column in residues.items():
            expected = own[PLACE(first), PLACE(second)] / left
            assert rows[row, column] == pytest.approx(expected, abs=1e-12)
    assert rows[5, 8] > rows[5, 6] and rows[9, 2] > rows[9, 7]  # A to G before C, I to F before D
    np.testing.assert_allclose(rows.sum(1), 1)
    np.testing.assert_array_equal(np.diag(rows) == 1, ~np.isin(np.arange(12), list(residues.values())))


@pytest.mark.parametrize("alphabet", ["esm", "cortex"])
def test_on_a_vocabulary_all_else_stays_itself(alphabet):
    tokenizer = tokenizers.residue_tokenizer(alphabet)
    rows, own = corruption.vocabulary_transitions(tokenizer), corruption.blosum62_transitions()
    ids = [tokenizer.id(letter) for letter in corruption.BLOSUM62_ORDER]
    np.testing.assert_allclose(rows[np.ix_(ids, ids)], own)
    others = np.setdiff1d(np.arange(tokenizer.vocab_size), ids)
    np.testing.assert_array_equal(rows[np.ix_(others, others)], np.eye(others.size))
    assert rows[others][:, ids].sum() == 0
    if alphabet == "cortex":
        assert others.tolist() == [0, 1, 2, 3, *range(24, 32)]
