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
        ("_sy", WILD, "WT"),
        ("=", WILD, "WT"),
        ("p.(=)", WILD, "WT"),
        ("p.[Ala2=;Gly3Cys]", "MACKT", "G3C"),
        ("ALA2THR", "MTGKT", "A2T"),
        ("p.ALA2THR", "MTGKT", "A2T"),
        ("ala2thr", "MTGKT", "A2T"),
        ("a2t", "MTGKT", "A2T"),
        ("A2t", "MTGKT", "A2T"),
        ("P.A2T", "MTGKT", "A2T"),
        ("NP_000001.1:p.(Ala2Thr)", "MTGKT", "A2T"),
        ("ENSP00000269305.4:p.Ala2Thr", "MTGKT", "A2T"),
        ("NP_1.1:p.Ala2Thr;NP_1.1:p.Gly3Cys", "MTCKT", "A2T:G3C"),
        ("p.Ala2Thr:p.Gly3Cys", "MTCKT", "A2T:G3C"),
        ("p.Ala2Thr, p.Gly3Cys", "MTCKT", "A2T:G3C"),
        ("p.[Ala2Thr(;)Gly3Cys]", "MTCKT", "A2T:G3C"),
        ("NM_000546.6(TP53):c.4G>A (p.Ala2Thr)", "MTGKT", "A2T"),
        ("c.4G>A (p.Ala2Thr), c.9C>T (p.=)", "MTGKT", "A2T"),
        ("urn:mavedb:00000001-a-1#p.Ala2Thr", "MTGKT", "A2T"),
        ("p.Ala2del", "MGKT", ""),
        ("p.Ala2_Lys4del", "MT", ""),
        ("p.(Ala2dup)", "MAAGKT", ""),
        ("p.Ala2_Gly3dup", "MAGAGKT", ""),
        ("p.Ala2_Gly3insThrVal", "MATVGKT", ""),
        ("A2_G3insTV", "MATVGKT", ""),
        ("p.Ala2delinsThr", "MTGKT", "A2T"),
        ("p.Ala2_Gly3delinsThr", "MTKT", ""),
        ("p.[Ala2del;Lys4Cys]", "MGCT", ""),
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
        ("p.Ala2fs", "Ala2fs shifts the reading frame"),
        ("p.(Ala2ProfsTer5)", "Ala2ProfsTer5 shifts the reading frame"),
        ("p.Ter6GlnextTer9", "Ter6GlnextTer9 extends the protein behind its end"),
        ("p.Met1?", r"Met1\? is an unknown effect"),
        ("p.?", "is an unknown effect"),
        ("p.0", "0 means that there is no protein"),
        ("p.A2Ter", "A2Ter has a stop codon"),
        ("p.Ala2_Gly3insTer", "has a stop codon"),
        ("p.Ala2_Lys4insThr", "an insertion is between two neighbouring symbols"),
        ("p.Gly3_Ala2del", "the second number is not above the first"),
        ("p.Ala2_Gly3ins(5)", "does not say which symbols are inserted"),
        ("p.[Ala2Thr];[Gly3Cys]", "two alleles"),
        ("p.(Ala2Thr", "its brackets do not close"),
        ("c.4G>A", "a change of DNA or RNA: name the protein's"),
        ("NM_1.1:c.4G>A", "a change of DNA or RNA"),
        ("A2M:p.Gly3Cys", "A2M is a reference or a change"),
        ("p.[Ala2del;Ala2Thr]", "two mutations at the same position, symbol 2"),
        ("p.Cys2del", "Cys2del says C where the wild type has A"),
        ("MAG*", "'MAG\\*' has a stop codon"),
        ("A2T:A2C", "two mutations at the same position, symbol 2"),
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


MISSING = ["", "NA", "N/A", "NaN", "nan", "None", "null", "NULL", "-", "--", ".", "?", "<NA>", "#N/A", "n/a"]
MISSING += [" ", "\u2014", "#VALUE!", "'NA'"]


@pytest.mark.parametrize("text", MISSING)
def test_a_missing_value_is_an_error_and_no_sequence(text):
    with pytest.raises(ValueError, match="no variant: the value is missing"):
        parse_variant(text, WILD)
    with pytest.raises(ValueError, match="no variant: the value is missing"):
        parse_variant(f" {text}\t", "NA")


_NAMES = "Ala Arg Asn Asp Cys Gln Glu Gly His Ile Leu Lys Met Phe Pro Ser Thr Trp Tyr Val"
NAMES = dict(zip("ARNDCQEGHILKMFPSTWYV", _NAMES.split(), strict=True))
REFERENCES = [
    "",
    "NP_000001.1:",
    "ENSP00000269305.4:",
    "P62593:",
    "TP53:",
    "NM_000546.6(TP53):",
    "LRG_199p1: ",
]


@st.composite
def changes(draw, wild):
    """Changes of places that do not meet, as (place, stop, symbols, kind), and what comes of them."""
    places = sorted(draw(st.sets(st.integers(0, len(wild) - 2), min_size=1, max_size=4)))
    found, sequence = [], list(wild)
    for place, following in zip(places, [*places[1:], len(wild) - 1], strict=True):
        kinds = ["exchange", "same", "del", "dup", "delins"] + ["ins"] * (following > place + 1)
        kind, new = draw(st.sampled_from(kinds)), draw(st.text("ACDW", min_size=1, max_size=3))
        if kind == "exchange":
            new = new[0]
        own = wild[place]
        made = {"exchange": new, "same": own, "del": "", "dup": own * 2, "delins": new, "ins": own + new}
        sequence[place] = made[kind]
        found.append((place, kind, new))
    return found, "".join(sequence)


def written(change, wild, first, spell):
    """A change in HGVS's grammar, symbols spelled by `spell`."""
    place, kind, new = change
    at = [f"{spell(wild[n])}{n + first}" for n in (place, place + 1)]
    tail = "".join(map(spell, new))
    return {
        "exchange": f"{at[0]}{tail}",
        "same": f"{at[0]}=",
        "del": f"{at[0]}del",
        "dup": f"{at[0]}dup",
        "delins": f"{at[0]}delins{tail}",
        "ins": f"{at[0]}_{at[1]}ins{tail}",
    }[kind]


@given(SEQUENCES, st.data(), st.integers(1, 300))
def test_hgvs_in_every_spelling_is_the_sequence_that_it_describes(wild, data, first):
    found, expected = data.draw(changes(wild))
    spell = data.draw(st.sampled_from([NAMES.get, lambda one: NAMES[one].upper(), str]))
    words = [written(one, wild, first, spell) for one in found]
    reference = data.draw(st.sampled_from(REFERENCES))
    joined = data.draw(st.sampled_from([";", "(;)"])).join(words)
    each = ", ".join(f"{reference}p.{word}" for word in words)
    texts = [f"{reference}p.[{joined}]", f"{reference}p.([{joined}])", each]
    texts += [":".join(words), " ; ".join(f"({word})" for word in words)]
    texts += [f"{reference}p.({words[0]})"] if len(words) == 1 else []
    for text in texts:
        assert parse_variant(text, wild, first=first) == parse_variant(expected, wild), text


@given(st.text(max_size=30))
def test_whatever_is_written_is_a_variant_or_an_error_of_one_line(text):
    try:
        parse_variant(text, WILD)
    except ValueError as error:
        assert str(error) and "Traceback" not in str(error)
