"""Masked scores of files that transformers wrote, against transformers, one mask and one pass at a time."""

import json

import jax
import numpy as np
import pytest

from jaxlm import pretrained, scoring

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PIECES = ["the", "traveler", "lost", "so", "##uven", "##ir", ".", "a", "##s"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXT = "The traveler lost the souvenirs."
WORDS = [[0], [1], [2], [3], [4, 5, 6, 7], [8]]
# Float32, and two orders of sums in two libraries.
CLOSE = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random BERT with a tokenizer of word pieces."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(SPECIALS + PIECES))
    transformers.BertTokenizerFast(
        vocab={piece: id for id, piece in enumerate(SPECIALS + PIECES)}, do_lower_case=True
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(SPECIALS + PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=24,
        initializer_range=0.5,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    model = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"][0]
    assert tokenizer.convert_ids_to_tokens(ids)[5:9] == ["so", "##uven", "##ir", "##s"]

    def says(hidden, place):
        read = ids.clone()
        read[[one + 1 for one in hidden]] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(read[None]).logits[0, place + 1]
        return torch.log_softmax(logits.double(), -1)[ids[place + 1]].item()

    return says


def test_pseudo_log_likelihoods_of_a_bert(folder, theirs):
    measure = scoring.PseudoLogLikelihood(masking=("original", "within-word", "whole-word"))
    config = scoring.EngineConfig(rows=2, devices=(jax.devices()[0],))
    (score,) = scoring.score(pretrained.load(folder), [TEXT], measure, config)
    places = [(word, place) for word in WORDS for place in word]
    assert score.error is None and score.values["num_scored"] == len(places)
    expected = {
        "pseudo_log_likelihood": sum(theirs([place], place) for _, place in places),
        "pseudo_log_likelihood_within_word": sum(
            theirs([one for one in word if one >= place], place) for word, place in places
        ),
        "pseudo_log_likelihood_whole_word": sum(theirs(word, place) for word, place in places),
    }
    for name, value in expected.items():
        assert score.values[name] == pytest.approx(value, abs=CLOSE)
    assert len({round(value, 3) for value in expected.values()}) == 3


def test_words_are_what_the_tokenizer_divides_or_what_spaces_do(folder):
    tokenizer = pretrained.load(folder).tokenizer
    every = np.ones(9, bool)
    pieces = scoring.word_numbers(tokenizer, TEXT, every)
    assert [np.flatnonzero(pieces == word).tolist() for word in range(6)] == WORDS
    assert scoring.word_numbers(tokenizer, TEXT, every, "spaces").tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 4]


def test_words_that_the_vocabulary_cannot_write_are_an_error_or_scored_if_asked(folder):
    loaded = pretrained.load(folder)
    config = scoring.EngineConfig(rows=2, devices=(jax.devices()[0],))
    scores = scoring.score(loaded, ["lost it."], scoring.PseudoLogLikelihood(), config)
    assert next(scores).error == "the vocabulary has no token for 'it' at character 5"
    scores = scoring.score(loaded, ["lost it."], scoring.PseudoLogLikelihood(unknown="score"), config)
    assert next(scores).values["num_scored"] == 3
