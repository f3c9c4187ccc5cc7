"""The heat map of all single mutants: colours and positions."""

import io

import matplotlib.image
import numpy as np
import pytest

from jaxlm import reports
from jaxlm.errors import UsageError
from jaxlm.reports import _mutant_heat_map
from jaxlm.tokenizers import AMINO_ACIDS


def pixels(scores, wild_type, **options):
    return matplotlib.image.imread(io.BytesIO(reports.mutant_heat_map_png(scores, wild_type, **options)))


def test_worse_is_red_and_better_is_blue():
    scores = np.zeros((20, 3))
    few = scores.copy()
    few[AMINO_ACIDS.index("A"), 1] = -3.0
    red = pixels(few, "MKT")
    few[AMINO_ACIDS.index("A"), 1] = 3.0
    blue = pixels(few, "MKT")
    changed = np.abs(red - blue)[..., :3].max(-1) > 0.3
    assert changed.any()
    rgb = red[changed][:, :3].mean(0), blue[changed][:, :3].mean(0)
    assert rgb[0][0] > rgb[0][2] and rgb[1][2] > rgb[1][0]


def test_long_proteins_are_divided_into_panels():
    rng = np.random.default_rng(0)
    short = pixels(rng.normal(size=(20, 80)), "M" * 80)
    long = pixels(rng.normal(size=(20, 161)), "M" * 161)
    assert long.shape[1] == short.shape[1] and 2.5 < long.shape[0] / short.shape[0] < 3.2


def test_a_very_long_protein_is_still_a_picture(monkeypatch):
    monkeypatch.setattr(_mutant_heat_map, "MOST_PIXELS", 500)
    assert pixels(np.random.default_rng(0).normal(size=(20, 300)), "M" * 300).shape[0] <= 500


def test_every_amino_acid_has_a_row():
    assert sorted(_mutant_heat_map.ORDER) == list(AMINO_ACIDS)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((20, 2)), r"expected scores of 20 amino acids at each position, \(20, 3\): got \(20, 2\)"),
        (np.full((20, 3), np.nan), "expected scores of single mutants: got none"),
    ],
)
def test_what_is_no_grid_of_scores_is_refused(scores, message):
    with pytest.raises(UsageError, match=message):
        reports.mutant_heat_map_png(scores, "MKT")
