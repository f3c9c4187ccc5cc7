"""Where words and instructions begin, in the ids of real tokenizers."""

import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers as hf

from jaxlm import tokenizers
from jaxlm.corruption import make_units, unit_starts


def pieces(tokenizer, text, unit="word"):
    """The units of a text, each as the text of its tokens."""
    ids = tokenizer.encode(text)
    starts = unit_starts(ids[None], make_units(unit, tokenizer, tokenizer.vocab_size))[0]
    np.testing.assert_array_equal(
        starts, unit_starts(jnp.asarray(ids)[None], make_units(unit, tokenizer, tokenizer.vocab_size))[0]
    )
    return [tokenizer.decode(part) for part in np.split(ids, np.flatnonzero(starts)[1:])]


def test_words_of_bytes_are_runs_of_letters_digits_spaces_and_signs():
    text = "caf\u00e9 42times, (x):  y"
    expected = ["caf\u00e9", " ", "42", "times", ",", " ", "(", "x", "):", "  ", "y"]
    assert pieces(tokenizers.bytes_tokenizer(), text) == expected


def test_words_of_subwords_take_the_space_that_is_written_with_them():
    texts = ["the cat sat on the mat, the cat", "on the mat (the cat)"]
    tokenizer = tokenizers.train_subwords(texts * 3, vocab_size=270)
    text = "the cats sat (on) mat9"
    assert any(len(tokenizer.token(id_)) > 1 for id_ in tokenizer.encode(text))
    assert pieces(tokenizer, text) == ["the", " cats", " ", "sat", " ", "(", "on", ")", " mat", "9"]


def test_words_of_wordpiece_go_by_their_marks():
    vocabulary = {
        token: id_ for id_, token in enumerate(["[UNK]", "[MASK]", "play", "##ing", "##s", "dog", "."])
    }
    backend = hf.Tokenizer(hf.models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(["[UNK]", "[MASK]"])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    ids = tokenizer.encode("dogs playing. [MASK]s")
    starts = unit_starts(ids[None], make_units("word", tokenizer, tokenizer.vocab_size))[0]
    shown = [tokenizer.token(int(id_)) for id_ in ids]
    assert shown[:5] == ["dog", "##s", "play", "##ing", "."]
    assert starts[:5].tolist() == [True, False, True, False, True]
    assert starts[5:].all()


def test_words_of_an_instruction_trace_are_its_operands():
    texts = ["mov eax 12 [NEXT] ret", "mov ebx 34 [NEXT] ret"]
    tokenizer = tokenizers.train_instructions(texts, vocab_size=420)
    text = "mov eax 12345 [NEXT] ret"
    ids = tokenizer.encode(text)
    starts = unit_starts(ids[None], make_units("word", tokenizer, tokenizer.vocab_size))[0]
    assert starts.sum() == 5 < len(ids)


def test_an_instruction_ends_with_next():
    texts = ["mov eax 1 [NEXT] ret"]
    tokenizer = tokenizers.train_instructions(texts, vocab_size=420)
    ids = tokenizer.encode("mov eax 1 [NEXT] ret [NEXT] mov eax 1")
    units = make_units("instruction", tokenizer, tokenizer.vocab_size)
    starts = unit_starts(ids[None], units)[0]
    assert np.flatnonzero(starts).tolist() == [0, *(np.flatnonzero(ids == tokenizer.specials.next) + 1)]


def test_tokens_have_no_table_and_ids_beyond_the_tokenizers_are_units_of_their_own():
    tokenizer = tokenizers.bytes_tokenizer()
    assert make_units("token", tokenizer, 260) is None
    assert unit_starts(np.zeros((1, 3), np.int32), None) is None
    units = make_units("word", tokenizer, 300)
    assert unit_starts(np.array([[97, 290, 291, 97, 97]]), units).tolist() == [
        [True, True, True, True, False]
    ]


@pytest.mark.parametrize(
    ("unit", "tokenizer", "message"),
    [
        ("word", tokenizers.residue_tokenizer(), "a chain of residues has none"),
        ("instruction", tokenizers.bytes_tokenizer(), r"by \[NEXT\]: the tokenizer has no such token"),
    ],
)
def test_what_has_no_such_units_is_refused(unit, tokenizer, message):
    with pytest.raises(ValueError, match=message):
        make_units(unit, tokenizer, tokenizer.vocab_size)
