"""The bytes of texts, against the tokens of a model of single bytes and the enumeration of covers."""

import itertools
import math

import numpy as np
import pytest
import tokenizers as hf

from jaxlm import scoring, tokenizers
from jaxlm.decoding.bytes import score_bytes
from jaxlm.errors import UsageError
from jaxlm.scoring.measures import _byte_engine
from tests.decoding.bytes import oracle
from tests.decoding.bytes.small_models import MERGES, asked, byte_model, loaded_model, merges_tokenizer
from tests.scoring.conftest import small_lm

_, ENCODE = oracle.bpe(b"abc", MERGES)
TEXTS = ["".join(text) for size in range(1, 5) for text in itertools.product("abc", repeat=size)][::5]
CLOSE = 1e-5  # nats a byte, float32
COLUMNS = [
    *("num_words", "num_bytes", "log_likelihood", "word_perplexity", "byte_perplexity", "bits_per_byte"),
    *("probability", "dropped", "num_windows"),
]


@pytest.fixture(scope="module")
def loaded():
    return loaded_model(merges_tokenizer())


@pytest.fixture(scope="module")
def bytes_lm():
    """A model that was trained with tokens around texts."""
    own = small_lm(tokenizers.bytes_tokenizer(), "causal_lm", causal=True)
    return own._replace(extra={"experiment": {"data": {"ends": True}}})


def rows(loaded, texts, **options):
    scores = list(scoring.score(loaded, texts, scoring.ByteLogLikelihood(**options)))
    assert [one.id for one in scores] == list(map(str, range(len(texts))))
    return [one.error or one.values for one in scores]


@pytest.mark.parametrize("eos", [False, True])
def test_where_each_byte_is_a_token_bytes_have_the_log_likelihood_of_tokens(bytes_lm, eos):
    texts = ["to be", "é, naïve", "x", "\n\n a\t"]
    tokens = scoring.score(bytes_lm, texts, scoring.LogLikelihood(eos=eos, tokens=True, bos="document"))
    for one, row in zip(tokens, rows(bytes_lm, texts, eos=eos, bytes=True), strict=True):
        size = row["num_bytes"]
        assert size == one.values["num_bytes"] == len(row["byte_log_probs"])
        assert row["log_likelihood"] == pytest.approx(one.values["log_likelihood"], abs=CLOSE * (size + 1))
        for name in ("bits_per_byte", "byte_perplexity", "word_perplexity", "num_words"):
            assert row[name] == pytest.approx(one.values[name], rel=1e-4)
        np.testing.assert_allclose(row["byte_log_probs"], one.values["token_log_probs"][:size], atol=1e-4)


@pytest.mark.parametrize(
    ("probability", "expected"), [("stem", oracle.stem_log_prob), ("canonical", oracle.canonical_log_prob)]
)
def test_rows_are_the_sums_over_enumerated_covers(loaded, probability, expected):
    lm = asked(byte_model(probability=probability))
    for text, row in zip(TEXTS, rows(loaded, TEXTS, probability=probability), strict=True):
        assert list(row) == COLUMNS
        total, size = expected(lm, text.encode(), ENCODE), len(text)
        assert row["log_likelihood"] == pytest.approx(total, abs=CLOSE * size)
        assert row["bits_per_byte"] == pytest.approx(-total / math.log(2) / size, rel=1e-5)
        assert row["byte_perplexity"] == pytest.approx(math.exp(-total / size), rel=1e-4)
        assert (row["num_bytes"], row["num_words"], row["dropped"]) == (size, 1, 0)
        assert row["probability"] == probability


def test_the_list_of_bytes_sums_to_the_log_likelihood(loaded):
    for text, row in zip(TEXTS, rows(loaded, TEXTS, bytes=True), strict=True):
        assert len(row["byte_log_probs"]) == len(text)
        assert math.fsum(row["byte_log_probs"]) == pytest.approx(row["log_likelihood"], abs=1e-9)


def test_fewer_stems_lose_mass_that_is_told(loaded):
    whole, cut = (rows(loaded, ["ab"], max_stems=stems)[0] for stems in (16, 1))
    assert whole["dropped"] == 0 < cut["dropped"] < 1
    assert cut["log_likelihood"] < whole["log_likelihood"]


def test_a_text_that_cannot_be_scored_says_why_and_stops_no_other(loaded):
    texts = ["ab", "", "a", "abd", "c" * 70, "a\ud800", "ba"]
    found = rows(loaded, texts, long="error")
    assert [isinstance(row, dict) for row in found] == [True, False, True, False, False, False, True]
    assert found[1] == "no bytes: the text is empty"
    assert "no token of this model can write the byte b'd'" in found[3]
    assert "the model reads at most 64" in found[4]
    assert found[5] == "half a surrogate pair at character 1 cannot be written in UTF-8"
    alone = [rows(loaded, [text], long="error")[0] for text in texts]
    for together, one in zip(found, alone, strict=True):
        if isinstance(one, str):
            assert together == one
        else:
            assert together["log_likelihood"] == pytest.approx(one["log_likelihood"], abs=1e-5)


def test_long_texts_are_read_in_windows(loaded):
    texts = ["abc" * 40, "ab"]
    options = {"window": 24, "context": 8}
    for text, row in zip(texts, rows(loaded, texts, **options), strict=True):
        (scores,) = score_bytes(byte_model(), text, **options)
        assert row["num_windows"] == scores.num_windows and (row["num_windows"] > 1) == (len(text) > 24)
        assert row["log_likelihood"] == pytest.approx(scores.log_prob, abs=CLOSE * len(text))
    with pytest.raises(UsageError, match="context"):
        scoring.make_scorer(loaded, scoring.ByteLogLikelihood(window=8, context=9))


def test_special_tokens_in_a_text_are_plain_bytes(bytes_lm):
    (row,) = rows(bytes_lm, ["a[MASK]"], bytes=True)
    assert len(row["byte_log_probs"]) == 7


def test_texts_are_scored_in_calls_of_few_bytes(loaded, monkeypatch):
    together = rows(loaded, TEXTS)
    monkeypatch.setattr(_byte_engine, "BYTES_OF_A_CALL", 9)
    for one, other in zip(rows(loaded, TEXTS), together, strict=True):
        assert one["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-5)


def test_the_description_names_all_that_the_numbers_depend_on(loaded):
    scorer = scoring.make_scorer(loaded, "byte-log-likelihood")
    assert scorer.work is None
    wanted = {"opening_ids": [7], "eos_ids": [7], "probability": "stem", "max_stems": 16, "eos": False}
    assert scorer.description.items() >= wanted.items()
    assert "row_length" not in scorer.description


def test_models_and_options_that_cannot_be_are_refused(loaded, protein_lm):
    make, bytes_of = scoring.make_scorer, scoring.ByteLogLikelihood
    with pytest.raises(scoring.ScoreError, match="is asked of a causal_lm: this model is a masked_lm"):
        make(protein_lm, bytes_of())
    with pytest.raises(scoring.ScoreError, match="rows is of rows of tokens"):
        make(loaded, bytes_of(), scoring.EngineConfig(rows=8))
    with pytest.raises(scoring.ScoreError, match="max_stems: expected a whole number from 1, got 0"):
        bytes_of(max_stems=0)
    tokenizer = hf.Tokenizer(hf.models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    pieces = loaded_model(tokenizers.Tokenizer.from_json(tokenizer.to_str()))
    with pytest.raises(tokenizers.UnknownBytesError, match="are not known"):
        make(pieces, bytes_of())


def test_without_a_token_that_begins_texts_the_first_token_is_drawn_uniformly(caplog):
    unopened = small_lm(tokenizers.bytes_tokenizer(), "causal_lm", causal=True)
    (row,) = rows(unopened, ["a"])
    assert row["log_likelihood"] == pytest.approx(-math.log(256))
    assert "each token counts as equally likely at the beginning of a text" in caplog.text


def test_the_end_is_scored_if_a_token_ends_texts():
    backend = hf.Tokenizer(hf.models.BPE({"a": 0, "b": 1}, []))
    unended = loaded_model(tokenizers.Tokenizer.from_json(backend.to_str()))
    with pytest.raises(scoring.ScoreError, match="no token ends texts"):
        scoring.make_scorer(unended, scoring.ByteLogLikelihood(eos=True))
