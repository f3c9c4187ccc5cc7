"""Scores of variants against the formulas, one forward pass a context."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data, scoring

WILD = "MKTAYIAKQR"
VARIANTS = ["K2A", "K2A:Y5W", "K2C:Y5W:R10H", "A4T"]
FILLS = ("wt-marginals", "mutant-marginals", "wt-fill", "mask-fill", "mut-fill", "match-fill")
# Float32: each of the terms is within 1e-5 nats.
CLOSE = 1e-4


@pytest.fixture(scope="module")
def model(protein_lm, log_probs_of):
    """log p(target) at a place of a sequence in which places are masked."""
    tokenizer = protein_lm.tokenizer

    def says(sequence, masked, place, target):
        tokens = tokenizer.encode(sequence)
        tokens[list(masked)] = tokenizer.specials.mask
        return log_probs_of(protein_lm, tokens)[place, tokenizer.id(target)]

    return says


def expected(model, fill, mutant):
    """The formula of each convention, place by place."""
    places = [n for n in range(len(WILD)) if WILD[n] != mutant[n]]
    total = 0.0
    for n in places:
        new, old = {
            "wt-marginals": ((WILD, []), (WILD, [])),
            "mutant-marginals": ((mutant, []), (mutant, [])),
            "wt-fill": ((WILD, [n]), (WILD, [n])),
            "mask-fill": ((WILD, places), (WILD, places)),
            "mut-fill": ((mutant, [n]), (mutant, [n])),
            "match-fill": ((mutant, [n]), (WILD, [n])),
        }[fill]
        total += model(*new, n, mutant[n]) - model(*old, n, WILD[n])
    return total


def pseudo(model, sequence):
    return [model(sequence, [n], n, letter) for n, letter in enumerate(sequence)]


@pytest.fixture(scope="module")
def rows(protein_lm, rows_of):
    measure = scoring.VariantEffect(wild_type=WILD, methods=(*FILLS, "pllr"))
    return rows_of(protein_lm, measure, [*VARIANTS, "WT", "MKTAYIAK", "MKTWAYIAKQR", "K2A:Y5*"])


@pytest.mark.parametrize("fill", FILLS)
def test_a_fill_is_its_formula(model, rows, fill):
    for text, row in zip(VARIANTS, rows, strict=False):
        mutant = scoring.parse_variant(text, WILD).sequence
        assert row[fill.replace("-", "_")] == pytest.approx(expected(model, fill, mutant), abs=CLOSE)


def test_of_a_single_mutant_all_that_mask_its_place_are_the_same(rows):
    single, double = rows[0], rows[1]
    masked = ("wt_fill", "mask_fill", "mut_fill", "match_fill")
    assert len({single[name] for name in masked}) == 1
    assert len({double[name] for name in masked}) == 4


def test_the_ratio_compares_sequences_of_any_length(model, rows):
    for text, row in zip([*VARIANTS, None, "MKTAYIAK", "MKTWAYIAKQR"], rows, strict=False):
        if text is not None:
            mutant = scoring.parse_variant(text, WILD).sequence
            new, old = pseudo(model, mutant), pseudo(model, WILD)
            assert row["pllr"] == pytest.approx(np.mean(new) - np.mean(old), abs=CLOSE)


def test_the_wild_type_is_0_and_what_cannot_be_compared_is_null(rows):
    wild, shorter, longer, stop = rows[4:]
    assert [wild[name] for name in ("wt_fill", "mask_fill", "pllr", "num_mutations")] == [0.0] * 4
    assert (wild["variant"], shorter["variant"], rows[1]["variant"]) == ("WT", "", "K2A:Y5W")
    assert shorter["wt_fill"] is longer["mask_fill"] is shorter["num_mutations"] is None
    assert "stop codon" in stop


def test_the_sum_of_the_ratio_is_the_difference_of_pseudo_log_likelihoods(protein_lm, rows_of, model):
    measure = scoring.VariantEffect(wild_type=WILD, methods=("pllr",), reduce="sum")
    row = rows_of(protein_lm, measure, ["MKTAYIAK"])[0]
    total = sum(pseudo(model, "MKTAYIAK")) - sum(pseudo(model, WILD))
    assert row["pllr"] == pytest.approx(total, abs=CLOSE)


@pytest.mark.parametrize(("method", "passes"), [("wt-marginals", 1), ("wt-fill", 3)])
def test_variants_share_what_they_read_of_the_wild_type(protein_lm, context, method, passes):
    measure = scoring.VariantEffect(wild_type=WILD, methods=(method,), ends=False)
    texts = [f"{WILD[n]}{n + 1}{letter}" for n in (1, 4, 9) for letter in "CDEFGH"] + ["K2C:Y5W"]
    read = set()
    for text in texts:
        planned = measure.start(context(protein_lm), data.Record(text, text, {}))
        read |= {piece.tokens.tobytes() for piece in planned.queries}
    assert len(read) == passes


def test_many_mutations_ask_no_more_of_a_piece_than_a_row_has_places(protein_lm, rows_of, model):
    mutant = "".join("W" if letter != "W" else "C" for letter in WILD)
    measure = scoring.VariantEffect(wild_type=WILD, methods=("wt-marginals",))
    row = rows_of(protein_lm, measure, [mutant], row_length=10)[0]
    assert row["wt_marginals"] == pytest.approx(expected(model, "wt-marginals", mutant), abs=CLOSE)
    assert row["num_mutations"] == 10


def test_long_sequences_are_read_in_the_window_around_the_mutations(protein_lm, rows_of, log_probs_of):
    tokenizer = protein_lm.tokenizer
    measure = scoring.VariantEffect(wild_type=WILD * 2, methods=("wt-fill", "pllr"))
    row, apart, refused = rows_of(protein_lm, measure, ["A14T", "K2A:R20H", "M1K:A14T"], row_length=10)
    tokens = tokenizer.encode(WILD * 2)[8:18]
    tokens[13 - 8] = tokenizer.specials.mask
    log_probs = log_probs_of(protein_lm, tokens)[13 - 8]
    term = log_probs[tokenizer.id("T")] - log_probs[tokenizer.id("A")]
    assert row["wt_fill"] == pytest.approx(term, abs=CLOSE) and np.isfinite(row["pllr"])
    assert apart == "mutations 18 symbols apart do not fit one window of 10"
    assert refused == "mutations 13 symbols apart do not fit one window of 10"
    strict = scoring.VariantEffect(wild_type=WILD * 2, long="error")
    with pytest.raises(scoring.ScoreError, match="wild type: 20 tokens, and the model reads at most 10"):
        rows_of(protein_lm, strict, [], row_length=10)


def test_what_was_measured_is_beside_the_scores(protein_lm, rows_of):
    measure = scoring.VariantEffect(wild_type=WILD, methods=("wt-marginals",), measured="fitness")
    records = [
        data.Record(text, text, meta)
        for text, meta in [("K2A", {"fitness": "0.5"}), ("K2C", {}), ("K2D", {"fitness": "high"})]
    ]
    with_number, without, broken = rows_of(protein_lm, measure, records)
    assert (with_number["measured"], without["measured"]) == (0.5, None)
    assert broken == "expected a measured value, a number: got 'high'"


MISSING = (None, "", "NA", "nan", "NaN", "-", "N/A", "null", "<NA>")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.fasta"])
def test_what_is_missing_in_a_table_has_an_error_or_no_measurement_and_is_never_a_protein(
    protein_lm, rows_of, tmp_path, name
):
    rows = [{"mutant": "K2A", "score": 0.5}, {"mutant": "_sy", "score": None}]
    rows += [{"mutant": one, "score": 1.5} for one in MISSING]
    rows += [{"mutant": "K2C", "score": one} for one in (None, float("nan"))]
    path = tmp_path / name
    if name == "a.fasta":
        path.write_text("".join(f">{n}\n{row['mutant'] or ''}\n" for n, row in enumerate(rows)))
    elif name == "a.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = (",".join("" if one is None else str(one) for one in row.values()) for row in rows)
        path.write_text("mutant,score\n" + "\n".join(lines) + "\n")
    has_score = name != "a.fasta"
    records = list(data.open_source(path, field="mutant", fields=["score"] if has_score else []))
    measure = scoring.VariantEffect(wild_type=WILD, measured="score" if has_score else None)
    scored, same, *missing = rows_of(protein_lm, measure, records)
    assert np.isfinite(scored["wt_fill"]) and same["wt_fill"] == 0.0 and same["variant"] == "WT"
    assert all("value is missing" in one for one in missing[: len(MISSING)])
    for row in missing[len(MISSING) :]:
        assert row["variant"] == "K2C" and np.isfinite(row["wt_fill"])
        assert not has_score or row["measured"] is None
    assert not has_score or (scored["measured"], same["measured"]) == (0.5, None)


def test_headers_of_sequences_may_hold_what_was_measured(protein_lm, rows_of):
    measure = scoring.VariantEffect(
        wild_type=WILD, methods=("wt-marginals",), measured_pattern=r"\|(-?[\d.]+)$"
    )
    records = [
        data.Record("BLAT_K2A|-0.25", "MATAYIAKQR", {}),
        data.Record("BLAT", "MKTAYIAKQR", {"description": "nothing"}),
    ]
    row, without = rows_of(protein_lm, measure, records)
    assert (row["variant"], row["measured"]) == ("K2A", -0.25)
    assert without.startswith("measured_pattern") and "finds nothing in 'BLAT nothing'" in without


def test_an_insertion_asked_of_a_fill_is_refused_with_the_remedy(protein_lm, rows_of):
    measure = scoring.VariantEffect(wild_type=WILD)
    said = rows_of(protein_lm, measure, ["MKT", "K2A:Q2"])
    assert said[0].startswith(
        "3 symbols where the wild type has 10: only pllr scores an insertion or a deletion"
    )
    assert said[1].startswith("'K2A:Q2' is no variant")


def test_wild_types_that_no_model_reads_are_refused(protein_lm, word_lm, context):
    with pytest.raises(scoring.ScoreError, match="wild type: '1' at position 1 is not a residue"):
        scoring.VariantEffect(wild_type="M1").resolved(context(protein_lm))
    with pytest.raises(scoring.ScoreError, match="variants need a token for each symbol: 8 symbols are"):
        scoring.VariantEffect(wild_type="the lost").resolved(context(word_lm))
    with pytest.raises(scoring.ScoreError, match="'X' at token 1 is none of the amino acids"):
        scoring.VariantEffect(wild_type="MX", vocabulary="amino-acids").resolved(context(protein_lm))
    with pytest.raises(scoring.ScoreError, match=r"methods: expected .* each once: got pllr, pllr"):
        scoring.VariantEffect(wild_type="MK", methods=("pllr", "pllr"))
    with pytest.raises(scoring.ScoreError, match=r"measured_pattern '\(' is no regular expression: missing"):
        scoring.VariantEffect(wild_type="MK", measured_pattern="(")
    with pytest.raises(scoring.ScoreError, match="needs wild_type"):
        scoring.VariantEffect().resolved(context(protein_lm))
    with pytest.raises(scoring.ScoreError, match="llr cannot be asked of a masked_lm, which has the methods"):
        scoring.VariantEffect(wild_type="MK", methods=("llr",)).resolved(context(protein_lm))


def test_a_causal_model_compares_log_likelihoods(causal_protein_lm, rows_of, log_probs_of, context):
    def likelihood(sequence):
        ids = causal_protein_lm.tokenizer.encode(sequence)
        return log_probs_of(causal_protein_lm, ids)[np.arange(len(ids) - 1), ids[1:]]

    texts = ["K2A:Y5W", "MKTAYIAK", "WT"]
    mean = rows_of(causal_protein_lm, scoring.VariantEffect(wild_type=WILD), texts)
    total = rows_of(causal_protein_lm, scoring.VariantEffect(wild_type=WILD, reduce="sum"), texts)
    for text, row, other in zip(texts, mean, total, strict=True):
        new, old = likelihood(scoring.parse_variant(text, WILD).sequence), likelihood(WILD)
        assert row["llr"] == pytest.approx(new.mean() - old.mean(), abs=CLOSE)
        assert other["llr"] == pytest.approx(new.sum() - old.sum(), abs=CLOSE)
    amino_acids = scoring.VariantEffect(wild_type=WILD, vocabulary="amino-acids")
    assert rows_of(causal_protein_lm, amino_acids, ["K2X"]) == ["'X' at token 1 is none of the amino acids"]
    fill = scoring.VariantEffect(wild_type=WILD, methods=("wt-fill",))
    with pytest.raises(scoring.ScoreError, match="wt-fill cannot be asked of a causal_lm, which has"):
        fill.resolved(context(causal_protein_lm))


def test_a_causal_model_reads_what_opens_sequences_where_it_is_asked_to(
    causal_protein_lm, rows_of, log_probs_of
):
    tokenizer = causal_protein_lm.tokenizer

    def likelihood(sequence):
        ids = np.array([tokenizer.specials.ends[0], *tokenizer.encode(sequence)])
        return log_probs_of(causal_protein_lm, ids)[np.arange(len(ids) - 1), ids[1:]].mean()

    found = {}
    for ends in (None, False, True):
        measure = scoring.VariantEffect(wild_type=WILD, ends=ends)
        found[ends] = rows_of(causal_protein_lm, measure, ["MKTAYIAK"])[0]["llr"]
    assert found[True] == pytest.approx(likelihood("MKTAYIAK") - likelihood(WILD), abs=CLOSE)
    trained = causal_protein_lm._replace(extra={"experiment": {"data": {"ends": True}}})
    (row,) = rows_of(trained, scoring.VariantEffect(wild_type=WILD), ["MKTAYIAK"])
    assert row["llr"] == found[True] != found[False] == found[None]
