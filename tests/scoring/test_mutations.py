"""Variants as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.scoring import Substitution, parse_variant

WILD = "MAGKT"


@pytest.mark.parametrize(
    ("text", "sequence", "name"),
    [
        ("A2T", "MTGKT", "A2T"),
        ("A2T:G3C", "MTCKT", "A2T:G3C"),
        ("G3C:A2T", "MTCKT", "A2T:G3C"),
        ("A2T,G3C", "MTCKT", "A2T:G3C"),
        (" A2T ; G3C ", "MTCKT", "A2T:G3C"),
        ("A2T/G3C", "MTCKT", "A2T:G3C"),
        ("A2T+G3C", "MTCKT", "A2T:G3C"),
        ("p.A2T", "MTGKT", "A2T"),
        ("p.Ala2Thr", "MTGKT", "A2T"),
        ("p.[Ala2Thr;Gly3Cys]", "MTCKT", "A2T:G3C"),
        ("p.Ala2=", WILD, "WT"),
        ("p.=", WILD, "WT"),
        ("A2=", WILD, "WT"),
        ("A2A", WILD, "WT"),
        ("WT", WILD, "WT"),
        ("_wt", WILD, "WT"),
        ("", WILD, "WT"),
        ("MTGKC", "MTGKC", "A2T:T5C"),
        (WILD, WILD, "WT"),
        ("MGKT", "MGKT", ""),
        ("MAAGKT", "MAAGKT", ""),
    ],
)
def test_what_is_written_is_what_is_meant(text, sequence, name):
    variant = parse_variant(text, WILD)
    assert (variant.sequence, variant.name()) == (sequence, name)
    assert (variant.substitutions is None) == (len(sequence) != len(WILD))


def test_numbers_begin_where_the_wild_type_does():
    variant = parse_variant("A25T", WILD, first=24)
    assert variant.substitutions == (Substitution(1, "A", "T"),)
    assert variant.name(24) == "A25T"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A6T", "A6T is outside the wild type, whose symbols are numbered 1..5"),
        ("A0T", "A0T is outside"),
        ("C2T", "C2T says C where the wild type has A: is this its wild type"),
        ("A2*", "A2\\* has a stop codon"),
        ("p.Ala2Ter", "Ala2Ter has a stop codon"),
        ("p.Ala2fs", "'p.Ala2fs' is no variant"),
        ("MAG*", "'MAG\\*' has a stop codon"),
        ("A2T:A2C", "two mutations at the same place, the symbol 2"),
        ("A2T:ins", "'A2T:ins' is no variant: write mutations as A23T"),
        ("A2", "'A2' is no variant"),
        ("A2TT", "'A2TT' is no variant"),
    ],
)
def test_what_is_no_variant_is_told(text, said):
    with pytest.raises(ValueError, match=said):
        parse_variant(text, WILD)


SEQUENCES = st.text("ACDEFGHIKLMNPQRSTVWY", min_size=3, max_size=12).filter(lambda text: text != "WT")


@given(SEQUENCES, st.data(), st.integers(-5, 50))
def test_a_mutant_and_the_name_of_its_mutations_are_the_same_variant(wild, data, first):
    mutant = "".join(data.draw(st.sampled_from("ACDW" + letter)) for letter in wild)
    variant = parse_variant(mutant, wild, first=first)
    assert parse_variant(variant.name(first), wild, first=first) == variant
