import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import tokenizers
from jaxlm.tokenizers._subwords import MIN_SUBWORDS_VOCAB

TEXTS = [
    "the lowest of the low went lower than the lower ones",
    "a newer and wider way to the widest new width\n",
    "Größe, naïve, 漢字 and the rest: 3.14 and -8",
]


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train_subwords(TEXTS, vocab_size=300)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_exactly_and_nothing_is_unknown(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.specials.unk is None
    written = sum(text.count(tokenizer.token(id)) for id in tokenizer.special_ids)
    assert np.isin(ids, tokenizer.special_ids).sum() == written


def test_specials(tokenizer):
    assert tokenizer.specials == tokenizers.Specials(pad=0, sep=1, cls=2, mask=3)
    assert tokenizer.special_ids == (0, 1, 2, 3)
    assert tokenizer.kind == "subwords"
    ids = tokenizer.encode(" the [MASK].")
    assert [tokenizer.token(id) for id in ids] == [" the", " ", "[MASK]", "."]
    assert tokenizer.encode("the", add_specials=True).tolist() == [2, *tokenizer.encode("the"), 1]


def test_frequent_words_are_whole(tokenizer):
    assert [tokenizer.token(id) for id in tokenizer.encode("rethe the")] == ["r", "e", "th", "e", " the"]


@given(st.permutations(TEXTS))
def test_the_order_of_the_texts_does_not_matter(tokenizer, texts):
    assert tokenizers.train_subwords(texts, vocab_size=300).to_json() == tokenizer.to_json()


@pytest.mark.parametrize("vocab_size", [MIN_SUBWORDS_VOCAB, MIN_SUBWORDS_VOCAB + 1, 270])
def test_vocab_size_is_an_upper_bound(vocab_size):
    assert tokenizers.train_subwords(TEXTS, vocab_size=vocab_size).vocab_size == vocab_size


def test_too_small_a_vocabulary_and_nothing_to_train_on():
    with pytest.raises(ValueError, match=r"at least 260 ids .*vocab_size=100"):
        tokenizers.train_subwords(TEXTS, vocab_size=100)
    for nothing in ([], ["", "\n"]):
        with pytest.raises(ValueError, match="expected text to train on"):
            tokenizers.train_subwords(nothing)


def test_transformers_reads_the_file_the_same_way(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in [*TEXTS, "unseen wörds [MASK]\n"]:
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text).tolist()
        assert theirs(text)["input_ids"] == tokenizer.encode(text, add_specials=True).tolist()
