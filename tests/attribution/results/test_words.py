"""Words of tokens in every spelling; the last word is one like all others."""

import numpy as np
import pytest

from jaxlm import tokenizers
from jaxlm.attribution import token_words
from jaxlm.attribution.results._words import join_tokens, mark_convention, tokenizer_words


@pytest.mark.parametrize(
    ("tokens", "numbers"),
    [
        (["The", " old", " sl", "eeps"], [0, 1, 2, 2]),
        (["The", "Ġold", "Ġsl", "eeps"], [0, 1, 2, 2]),
        (["▁The", "▁old", "▁sl", "eeps", "</s>"], [0, 1, 2, 2, -1]),
        (["The", "Ċ", "old", "Ġ", "Ġsl", "eeps"], [0, 1, 1, 2, 2, 2]),
        (["the", "old", "sl", "##eep", "##s", "."], [0, 1, 2, 2, 2, 3]),
        (["mov", "…e", "rax"], [0, 0, 1]),
        (["[CLS]", "the", "old", "[SEP]"], [-1, 0, 1, -1]),
        (["a", " ", "b", "c", " "], [0, 1, 1, 1, 1]),
        (["<s>", " a", "b", "<mask>", "c"], [-1, 0, 0, -1, 1]),
        (["##", "Ġa", "##b"], [0, 1, 1]),
        (["<0x41>", "▁b"], [0, 1]),
        ([" "], [0]),
        ([], []),
    ],
)
def test_words_by_marks(tokens, numbers):
    assert token_words(tokens).tolist() == numbers


def test_a_sign_that_continues_words_may_be_written_in_a_text():
    assert mark_convention(["##a", " b"]) == "initial"
    assert mark_convention(["…", "a"]) == "unmarked"


@pytest.mark.parametrize(
    ("tokens", "joined"),
    [
        ([" sl", "eeps"], " sleeps"),
        (["▁sl", "eeps"], "▁sleeps"),
        (["sl", "##eep", "##s"], "sleeps"),
        (["old", "sl", "##eep"], "old sleep"),
        (["old", "man"], "old man"),
        (["M", "K"], "MK"),
    ],
)
def test_joined_tokens(tokens, joined):
    assert join_tokens(tokens, mark_convention(tokens)) == joined


def test_a_tokenizer_divides_its_own_words():
    subwords = tokenizers.train_subwords(["low lower lowest", "low"], vocab_size=263)
    ids = subwords.encode("low, slow")
    assert [subwords.token(id) for id in ids] == ["low", ",", " ", "s", "low"]
    # The comma is a word of this tokenizer, and by marks the end of one.
    assert tokenizer_words(subwords, ids).tolist() == [0, 1, 2, 2, 2]
    assert token_words([subwords.token(id) for id in ids]).tolist() == [0, 0, 1, 1, 1]


def test_a_tokenizer_that_divides_no_words_is_not_asked():
    of_bytes = tokenizers.bytes_tokenizer()
    assert tokenizer_words(of_bytes, of_bytes.encode("to be")) is None
    assert tokenizer_words(of_bytes, np.array([-1])) is None
    assert tokenizer_words(of_bytes, np.array([1000])) is None


def test_special_tokens_of_a_tokenizer_stand_alone():
    subwords = tokenizers.train_subwords(["low lower lowest", "low"], vocab_size=263)
    ids = subwords.encode("low[MASK] low")
    assert tokenizer_words(subwords, ids).tolist()[1] == -1


def test_ids_whose_text_is_encoded_by_others_are_not_divided_by_the_tokenizer():
    subwords = tokenizers.train_subwords(["low lower lowest", "low"], vocab_size=263)
    letters = np.array([subwords.id(letter) for letter in "low"], np.int32)
    assert tokenizer_words(subwords, letters) is None


def test_residues_are_words_of_their_own():
    residues = tokenizers.residue_tokenizer()
    assert tokenizer_words(residues, residues.encode("MKT")).tolist() == [0, 1, 2]
