"""Where words and instructions begin, in the ids of real tokenizers."""

import functools
import json
import re
import unicodedata

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import tokenizers
from jaxlm.corruption import make_units, unit_starts


def pieces(tokenizer, text, unit="word"):
    """The units of a text, each as the text of its tokens."""
    ids = tokenizer.encode(text)
    units = make_units(unit, tokenizer, tokenizer.vocab_size)
    starts = unit_starts(ids[None], units)[0]
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


def expected_words(text):
    """The words of a text, by the names that Unicode gives its characters."""
    found, before = [], None
    for character in text:
        name, category = unicodedata.name(character, ""), unicodedata.category(character)
        kind = {"L": "letter", "N": "digit", "Z": "space", "C": "space"}.get(category[0], "other")
        if category[0] == "M" or name.endswith(("SARA AM", "SOUND MARK", "VOWEL SIGN AM")):
            kind = "mark"
        elif category[0] == "L" and name.startswith(
            ("CJK UNI", "HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR")
        ):
            kind = "grapheme"
        elif name.startswith("KATAKANA LETTER"):
            kind = "katakana"
        if found and (kind == before != "grapheme" or (kind == "mark" and before != "space")):
            found[-1] += character
        else:
            found.append(character)
        before = before if kind == "mark" and before not in (None, "space") else kind
        before = "letter" if before == "mark" else before
    return found


SCRIPTS = [
    "日本語のテキスト、", "ラーメンとらーめん", "東京タワーへ行く", "中文没有空格。", "𠮷野家", "カナ12カナ",
    "ภาษาไทยง่าย", "น้ำใจ ๑๒", "ພາສາລາວ", "ភាសាខ្មែរ", "မြန်မာဘာသာ", "abc漢字def", "がき\u3099",
    "한국어는 다르다", "e\u0301te\u0301", "naïve", "हिन्दी में", "x = 3", "🎉🎉 ok",
]  # fmt: skip


@functools.cache
def script_tokenizers():
    """Of bytes, of their merges, and of pieces that fall back to bytes."""
    unigram = hf.Tokenizer(hf.models.BPE(byte_fallback=True, unk_token="<unk>"))
    unigram.pre_tokenizer = hf.pre_tokenizers.Metaspace(prepend_scheme="never")
    unigram.decoder = hf.decoders.Sequence(
        [hf.decoders.Replace("▁", " "), hf.decoders.ByteFallback(), hf.decoders.Fuse()]
    )
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = hf.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", *fallback], limit_alphabet=60, show_progress=False
    )
    unigram.train_from_iterator(SCRIPTS, trainer)
    file = json.loads(unigram.to_str())
    file["added_tokens"] = [one for one in file["added_tokens"] if one["content"] == "<unk>"]
    return (
        tokenizers.bytes_tokenizer(),
        tokenizers.train_subwords(SCRIPTS * 2, vocab_size=290),
        tokenizers.Tokenizer.from_json(json.dumps(file)),
    )


@pytest.mark.parametrize("text", SCRIPTS)
def test_words_of_scripts_without_spaces_are_graphemes_and_runs_of_katakana(text):
    expected = expected_words(text)
    assert pieces(script_tokenizers()[0], text) == expected
    for tokenizer in script_tokenizers()[1:]:
        assert spans(tokenizer, text) == joined_by_tokens(tokenizer, text, expected)


def test_words_are_the_same_on_a_device():
    for tokenizer in script_tokenizers():
        units, size = encode_pairs(tokenizer), 80
        rows = [tokenizer.encode(text) for text in SCRIPTS]
        tokens = np.stack([np.pad(row[:size], (0, max(size - len(row), 0)), mode="wrap") for row in rows])
        found = jax.jit(lambda tokens, units=units: unit_starts(tokens, units))(jnp.asarray(tokens))
        np.testing.assert_array_equal(found, unit_starts(tokens, units))


def spans(tokenizer, text):
    """Where units begin, as places in the bytes of a text."""
    ids = tokenizer.encode(text)
    starts = unit_starts(ids[None], encode_pairs(tokenizer))[0]
    sizes = np.cumsum([0, *(len(piece) for piece in piece_bytes(tokenizer, ids))])
    assert sizes[-1] == len(text.encode())
    return [int(sizes[place]) for place in np.flatnonzero(starts)]


def joined_by_tokens(tokenizer, text, words):
    """Where words begin at which a token does, too, a space in front of a word being of it."""
    ids = tokenizer.encode(text)
    sizes = np.cumsum([0, *(len(piece) for piece in piece_bytes(tokenizer, ids))]).tolist()
    encoded = [piece.decode(errors="replace") for piece in piece_bytes(tokenizer, ids)]
    begins = np.cumsum([0, *(len(word.encode()) for word in words)]).tolist()
    kept = {place for place in begins[:-1] if place in sizes}
    # Behind a token that holds the end of one word and the beginning of the next one, both are one unit.
    kept |= {sizes[n] for n, piece in enumerate(encoded) if piece[:1].isspace() and not piece.isspace()}
    return sorted(kept)


def piece_bytes(tokenizer, ids):
    shown = [tokenizer.token(int(id_)) for id_ in ids]
    return [
        re.sub(rb"\\x([0-9a-f]{2})", lambda one: bytes.fromhex(one[1].decode()), one.encode())
        for one in shown
    ]


@functools.cache
def encode_pairs(tokenizer):
    return make_units("word", tokenizer, tokenizer.vocab_size)


@given(st.lists(st.sampled_from("a1 ,漢かカーงั้ขា។မြ가é\u0301🎉"), min_size=1, max_size=12).map("".join))
@settings(deadline=None)
def test_words_of_any_mixture_are_those_of_its_characters(text):
    tokenizer = tokenizers.bytes_tokenizer()
    ids = tokenizer.encode(text)
    starts = unit_starts(ids[None], encode_pairs(tokenizer))[0]
    found = [bytes(part.astype(np.uint8)).decode() for part in np.split(ids, np.flatnonzero(starts)[1:])]
    assert found == expected_words(text)


def test_marks_of_wordpiece_do_not_join_what_has_no_spaces():
    words = [
        "[UNK]",
        "[MASK]",
        "ひ",
        "##ら",
        "##が",
        "ア",
        "##メ",
        "##リ",
        "東",
        "##京",
        "##abc",
        "abc",
        "##d",
    ]
    backend = hf.Tokenizer(hf.models.WordPiece({one: n for n, one in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(["[UNK]", "[MASK]"])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    ids = tokenizer.encode("ひらが アメリ 東京abc abcd")
    starts = unit_starts(ids[None], encode_pairs(tokenizer))[0]
    assert starts.tolist() == [True] * 3 + [True, False, False] + [True] * 3 + [True, False]


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
