"""`jaxlm embed` on a tiny body: what it shows of texts, the files of a corpus, and what it refuses."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxlm import models, pretrained, scoring, tokenizers
from jaxlm.cli import main

TEXTS = ["a small text", "b", "the last of them"]


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "body"
    config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
    model = models.build(config, "body")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    pretrained.save_model(folder, config, params, tokenizers.bytes_tokenizer(), kind="body")
    return folder


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    lines = [{"text": text, "year": year} for year, text in enumerate([*TEXTS, ""])]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def expected(body, **options):
    return list(scoring.score(pretrained.load(body), TEXTS, scoring.Embedding(**options)))


def test_texts_are_shown_with_their_similarities(body, capsys):
    assert main(["embed", str(body), *TEXTS[:2], "--normalize"]) == 0
    shown = capsys.readouterr().out
    assert "a small text\n" in shown and "(8 numbers, length 1.0000)" in shown
    assert "cosine similarity" in shown and "1.000" in shown
    assert main(["embed", str(body), "b", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (_, wanted, _) = expected(body)
    np.testing.assert_allclose(printed["vector"], wanted.values["vector"], rtol=1e-5, atol=1e-6)
    assert (printed["text"], printed["num_tokens"]) == ("b", 1)


def test_a_corpus_becomes_parquet_and_an_array(body, corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["embed", str(body), str(corpus), "--out", str(out), "--keep", "year", "--npy"]) == 0
    told = capsys.readouterr()
    assert "3 documents, 29 tokens" in told.out and "vectors.npy, 4 x 8 float32" in told.out
    assert "1 without a vector: no tokens: the text is empty" in told.err
    table = pq.read_table(out / "parts")
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<element: float>[8]")
    array = np.load(out / "vectors.npy")
    assert np.isnan(array[3]).all() and table["error"][3].as_py() and table["vector"][3].as_py() is None
    for row, (wanted, vector) in enumerate(zip(expected(body), array, strict=False)):
        np.testing.assert_allclose(vector, wanted.values["vector"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(vector, table["vector"][row].as_py())
    assert table["year"].to_pylist() == [0, 1, 2, 3]
    # The same command again finds everything done, and another layer is another job.
    before = (out / "parts" / "part-000000.parquet").read_bytes()
    assert main(["embed", str(body), str(corpus), "--out", str(out), "--keep", "year"]) == 0
    assert (out / "parts" / "part-000000.parquet").read_bytes() == before
    assert main(["embed", str(body), str(corpus), "--out", str(out), "--keep", "year", "--layer", "0"]) == 2
    assert "another job" in capsys.readouterr().err


def test_a_vector_a_token(body, corpus, tmp_path):
    out = tmp_path / "out"
    assert main(["embed", str(body), str(corpus), "--out", str(out), "--pool", "none"]) == 0
    (table,) = scoring.read_parts(str(out))
    rows = scoring.item_rows(table, "token").to_pylist()
    assert [row["token_strings"] for row in rows][:3] == ["a", " ", "s"]
    assert len(rows) == sum(map(len, TEXTS)) and all(len(row["token_vectors"]) == 8 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["text", "--npy"], "--npy writes a vector for each document"),
        (["text", "--layer", "7"], "layer: expected -2 to 1"),
        (["text", "--format", "csv"], "--format is for a corpus"),
        (["text", "--shard", "1/2"], "--shard is for a corpus"),
        ([], "TEXT is missing"),
        (["CORPUS"], "add --out DIR"),
        (["nowhere.txt", "--out", "OUT"], "no file or folder at 'nowhere.txt'"),
        (["CORPUS", "--out", "OUT", "--shard", "3/2"], "--shard is i/n"),
    ],
)
def test_one_line_for_what_cannot_be(body, corpus, tmp_path, capsys, arguments, line):
    names = {"CORPUS": str(corpus), "OUT": str(tmp_path / "out")}
    assert main(["embed", str(body), *(names.get(word, word) for word in arguments)]) == 2
    told = capsys.readouterr().err
    assert line in told and len(told.splitlines()) == 1
