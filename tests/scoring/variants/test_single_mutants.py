"""All single mutants of a protein, and their scores by residue and position."""

import numpy as np
import pytest

from jaxlm.errors import ScoreError
from jaxlm.scoring import parse_variant, single_mutant_scores, single_mutants
from jaxlm.tokenizers import AMINO_ACIDS


@pytest.mark.parametrize("wild_type", ["MKT", "mkt", "MXT"])
def test_each_mutant_is_another_residue_at_one_position(wild_type):
    records = list(single_mutants(wild_type, first=5))
    sequences = {parse_variant(record.text, wild_type, first=5).sequence.upper() for record in records}
    upper = wild_type.upper()
    expected = {
        upper[:place] + letter + upper[place + 1 :]
        for place in range(3)
        for letter in AMINO_ACIDS
        if letter != upper[place]
    }
    assert sequences == expected and len(records) == len(expected)
    assert [record.id for record in records] == [record.text for record in records]


def test_scores_stand_at_their_residue_and_position():
    names = [record.text for record in single_mutants("MKT", first=5)]
    order = np.random.default_rng(0).permutation(len(names))
    scores: list[float | None] = [float(index) for index in range(len(names))]
    scores[0] = None
    shuffled = [names[index] for index in order], [scores[index] for index in order]
    found = single_mutant_scores(*shuffled, "MKT", first=5)
    for name, score in zip(names, scores, strict=True):
        value = found[AMINO_ACIDS.index(name[-1]), int(name[1:-1]) - 5]
        assert np.isnan(value) if score is None else value == score
    own = [found[AMINO_ACIDS.index(letter), place] for place, letter in enumerate("MKT")]
    assert own == [0.0, 0.0, 0.0] and np.isnan(found).sum() == 1


@pytest.mark.parametrize("name", ["M1A:K2C", "WT", "MK", "M1X"])
def test_what_is_no_single_mutant_is_refused(name):
    with pytest.raises(ScoreError, match="expected the name of a single mutant"):
        single_mutant_scores([name], [0.0], "MKT")
