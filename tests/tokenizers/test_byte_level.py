from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS, CONTINUATION, from_symbols, to_symbols

# Half surrogates are no characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def test_symbols_are_hugging_faces_alphabet():
    assert set(BYTE_SYMBOLS) == set(pre_tokenizers.ByteLevel.alphabet())
    assert len(set(BYTE_SYMBOLS)) == 256
    assert CONTINUATION not in BYTE_SYMBOLS


@given(TEXTS.filter(len))
@example("\x00\t é\u2026\U0010ffff漢")
def test_symbols_are_those_of_hugging_faces_pre_tokenizer(text):
    (symbols, _), *others = BYTE_LEVEL.pre_tokenize_str(text)
    assert not others
    assert to_symbols(text) == symbols


@given(TEXTS)
def test_reading_undoes_writing(text):
    assert from_symbols(to_symbols(text)) == text
    assert from_symbols(CONTINUATION + to_symbols(text)) == CONTINUATION + text


def test_what_is_not_written_in_symbols_is_left_alone():
    assert from_symbols("▁the") == "▁the"
