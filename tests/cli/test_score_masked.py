"""`jaxlm score` of masked LMs: variants of a protein and their ranking, and what cannot be asked."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxlm import models, pretrained, scoring, tokenizers
from jaxlm.cli import main

WILD = "MKTAYIAKQR"
ASSAY = {"K2A": 0.5, "K2A:Y5W": -1.0, "T3C": 0.1, "A4T": 0.9, "MKTAYIAK": 0.2, "K3A": 0.3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A protein model whose experiment says that it saw masks alone."""
    config = models.TransformerConfig(
        vocab_size=33, width=16, depth=1, num_heads=2, max_length=16, init_std=0.4
    )
    model = models.build(config, "masked_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    folder = tmp_path_factory.mktemp("protein")
    noise = {"mask_share": 1.0, "keep_share": 0.0, "random_share": 0.0}
    pretrained.save_model(
        folder,
        config,
        params,
        tokenizers.residue_tokenizer(),
        kind="masked_lm",
        extra={"experiment": {"input_noise": noise}},
    )
    return folder


def test_variants_of_a_table_are_scored_and_ranked(folder, tmp_path, capsys):
    assay = tmp_path / "assay.csv"
    assay.write_text("mutant,DMS_score\n" + "".join(f"{name},{value}\n" for name, value in ASSAY.items()))
    out, methods = tmp_path / "out", ("wt-marginals", "mask-fill", "pllr")
    asked = ["--wild-type", WILD, "--methods", *methods, "--measured", "DMS_score", "--json"]
    assert main(["score", str(folder), "--variants", str(assay), "--out", str(out), *asked]) == 0
    said = json.loads(capsys.readouterr().out)
    measure = scoring.VariantEffect(wild_type=WILD, methods=methods)
    expected = list(scoring.score(pretrained.load(folder), ASSAY, measure))
    rows = pq.read_table(out / "parts").to_pylist()
    assert [row["variant"] for row in rows] == ["K2A", "K2A:Y5W", "T3C", "A4T", "", None]
    assert rows[5]["error"].startswith("K3A says K where the wild type has T")
    assert rows[4]["mask_fill"] is None and rows[4]["pllr"] is not None
    for row, one in zip(rows[:5], expected, strict=False):
        assert row["measured"] == ASSAY[row["variant"] or "MKTAYIAK"]
        for name in ("wt_marginals", "mask_fill", "pllr"):
            # Another batch, float32.
            assert row[name] == (
                None if one.values[name] is None else pytest.approx(one.values[name], abs=1e-4)
            )
    ranked = scoring.spearman(*(np.array([row[name] for row in rows[:5]]) for name in ("pllr", "measured")))
    assert said["spearman"]["pllr"]["estimate"] == pytest.approx(ranked)


def test_what_a_model_cannot_be_asked_is_one_line(folder, causal_folder, tmp_path, capsys):
    corpus = tmp_path / "proteins.fasta"
    corpus.write_text(">one\nMKT\n")

    def refused(model, *asked):
        assert main(["score", str(model), str(corpus), "--out", str(tmp_path / "none"), *asked]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    assert "log-likelihood is asked of a causal_lm" in refused(folder, "--measure", "log-likelihood")
    causal = causal_folder / "causal_lm"
    assert "is asked of a masked_lm" in refused(causal, "--measure", "pseudo-log-likelihood")
    assert "needs a model that was trained with unchanged" in refused(folder, "--measure", "single-pass")
    bytes_model = causal_folder / "masked_lm"
    assert "not sound for 256 ids" in refused(bytes_model, "--measure", "single-pass")
    assert "needs wild_type" in refused(folder, "--measure", "variant-effect")
    assert "has no [NEXT]" in refused(folder, "--measure", "instruction-ratio")
    assert not (tmp_path / "none").exists()


def test_every_single_mutant_is_scored_without_a_file_and_drawn(folder, tmp_path, capsys):
    out = tmp_path / "out"
    model, options = ["score", str(folder), "--variants", "all"], ["--first", "5", "--out", str(out)]
    asked = [*model, "--wild-type", WILD, *options]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    rows = pq.read_table(out / "parts").to_pylist()
    assert len(rows) == 19 * len(WILD) and rows[0]["variant"] == "M5A"
    measure = scoring.VariantEffect(wild_type=WILD, first=5)
    some = [row["variant"] for row in rows[::17]]
    expected = [score.values["wt_fill"] for score in scoring.score(pretrained.load(folder), some, measure)]
    np.testing.assert_allclose([row["wt_fill"] for row in rows[::17]], expected, atol=1e-4)
    assert (out / "variants.png").read_bytes()[1:4] == b"PNG" and f"heat map: {out}/variants.png" in shown
    assert main([*asked, "--methods", "wt-marginals"]) == 2  # another job in the same folder
    assert main([*model, "--wild-type", WILD[::-1], *options]) == 2


def test_all_variants_need_a_wild_type_and_have_no_measured_values(folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["score", str(folder), "--variants", "all", *out]) == 2
    assert "--variants all are those of a protein: add --wild-type" in capsys.readouterr().err
    wild = ["--wild-type", WILD, "--measured", "score"]
    assert main(["score", str(folder), "--variants", "all", *wild, *out]) == 2
    assert "--measured reads a file, and --variants all has none" in capsys.readouterr().err
