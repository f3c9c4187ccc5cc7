"""Proteins under a vocab.txt of single residues, as ProtBert's: scores of the ids that its lines number."""

import numpy as np
import pytest

from jaxlm import data, scoring, tokenizers
from tests.scoring.conftest import small_lm

LINES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]
MASK = LINES.index("[MASK]")
WILD = "MKTAYIAKQRX"
# Float32: each of the terms is within 1e-5 nats.
CLOSE = 1e-4


@pytest.fixture(scope="module")
def residue_lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protbert")
    (folder / "vocab.txt").write_text("\n".join(LINES))
    return small_lm(tokenizers.load_tokenizer(folder), seed=5)


@pytest.fixture(scope="module")
def masked(residue_lm, log_probs_of):
    """The log-probabilities at each place of the wild type, masked alone."""
    ids = [LINES.index(letter) for letter in WILD]

    def at(place):
        hidden = np.array(ids)
        hidden[place] = MASK
        return log_probs_of(residue_lm, hidden)[place]

    return [at(place) for place in range(len(WILD))]


def test_sequences_of_fasta_and_of_text_have_the_scores_of_their_residues(
    residue_lm, rows_of, masked, tmp_path
):
    (tmp_path / "one.fasta").write_text(f">p1\n{WILD[:4]}\n{WILD[4:]}\n")
    records = [*data.open_source(str(tmp_path / "one.fasta")), " ".join(WILD)]
    expected = sum(says[LINES.index(letter)] for says, letter in zip(masked, WILD, strict=True))
    for row in rows_of(residue_lm, scoring.PseudoLogLikelihood(), records):
        assert row["pseudo_log_likelihood"] == pytest.approx(expected, abs=CLOSE)
        assert row["num_tokens"] == len(WILD)


def test_variants_have_the_scores_of_their_residues(residue_lm, rows_of, masked):
    measure = scoring.VariantEffect(wild_type=WILD, methods=("wt-fill",))
    rows = rows_of(residue_lm, measure, ["M1A", "K2R:Y5W"])
    for row, places in zip(rows, ({0: "A"}, {1: "R", 4: "W"}), strict=True):
        terms = (masked[n][[LINES.index(new), LINES.index(WILD[n])]] for n, new in places.items())
        assert row["wt_fill"] == pytest.approx(sum(new - old for new, old in terms), abs=CLOSE)
