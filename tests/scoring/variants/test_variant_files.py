"""Where variants and their wild types are read from, and how scores rank them."""

import math

import numpy as np
import pytest

from jaxlm import data, scoring


def test_the_wild_type_is_a_sequence_or_the_first_of_a_file(tmp_path):
    (tmp_path / "wild.fasta").write_text(">sp|P1\nMKT\nAYI\n>other\nMM\n")
    (tmp_path / "wild.txt").write_text("MKT AYI\n")
    (tmp_path / "empty.fasta").write_text(">nothing\n")
    assert scoring.read_wild_type(" MKTAYI\n") == "MKTAYI"
    assert scoring.read_wild_type(tmp_path / "wild.fasta") == "MKTAYI"
    assert scoring.read_wild_type(str(tmp_path / "wild.txt")) == "MKTAYI"
    with pytest.raises(data.CorpusError, match="no sequence in it: expected the wild type"):
        scoring.read_wild_type(tmp_path / "empty.fasta")
    (tmp_path / "na.txt").write_text("\nNA\n")
    for source in ("NA", "-", "NaN", "None", str(tmp_path / "na.txt")):
        with pytest.raises(data.CorpusError, match=r"expected the sequence of the wild type, got .*missing"):
            scoring.read_wild_type(source)
    with pytest.raises(data.CorpusError, match=r"missing\.fasta"):
        scoring.read_wild_type("missing.fasta")


def test_the_column_of_variants_is_found_by_its_name(tmp_path):
    path = tmp_path / "assay.csv"
    path.write_text("mutated_sequence,mutant,DMS_score\nMATAYI,K2A,0.5\n")
    assert scoring.find_variant_column(path) == "mutant"
    path.write_text("seq,DMS_score\nMATAYI,0.5\n")
    with pytest.raises(data.CorpusError, match=r"no column 'mutant'; .*'seq', 'DMS_score'"):
        scoring.find_variant_column(path)


def test_the_column_of_variants_is_there_whatever_its_first_value_is(tmp_path):
    path = tmp_path / "assay.jsonl"
    for value in ("null", "NaN", "7", '"A2T"'):
        path.write_text(f'{{"mutated_sequence": "MATAYI", "mutant": {value}}}\n')
        assert scoring.find_variant_column(path) == "mutant"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_and_wild_types_are_read_by_their_mark(tmp_path, encoding, end):
    (tmp_path / "a.tsv").write_bytes(f"mutant\tscore{end}A2T\t0.5{end}".encode(encoding))
    (tmp_path / "a.fasta").write_bytes(f">wild\tof é{end}MA{end}GKT{end}".encode(encoding))
    assert scoring.find_variant_column(tmp_path / "a.tsv") == "mutant"
    assert scoring.read_wild_type(tmp_path / "a.fasta") == "MAGKT"


def test_ranks_are_of_the_variants_that_have_both():
    measured = [0.1, 0.4, 0.2, None, 0.9, math.nan]
    columns = {"up": [1.0, 3.0, 2.0, 9.0, 4.0, 0.0], "down": [-1.0, -3.0, None, 9.0, -4.0, 0.0]}
    found = scoring.rank_variants(columns, measured, samples=50)
    assert (found["up"].estimate, found["down"].estimate) == (1.0, -1.0)
    assert math.isnan(scoring.rank_variants({"few": [1.0, 2.0]}, [1.0, 2.0])["few"].estimate)


def test_mutants_of_one_place_are_drawn_together():
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(12), 8)
    effect = rng.normal(size=12)[places]
    measured = effect + 0.1 * rng.normal(size=96)
    scores = effect * np.repeat(rng.choice([-1, 1], 12), 8)
    names = [f"A{place + 1}{letter}" for place, letter in zip(places, "CDEFGHIK" * 12, strict=True)]
    alone = scoring.rank_variants({"score": scores}, measured, samples=300)["score"]
    together = scoring.rank_variants({"score": scores}, measured, names, samples=300)["score"]
    assert together.estimate == alone.estimate
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
