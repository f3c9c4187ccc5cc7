"""SentencePiece's files: what stands in them, and files that lie about it."""

import random
import struct

import pytest

from jaxlm.tokenizers._charsmap import check_charsmap
from jaxlm.tokenizers._protobuf import read_fields
from jaxlm.tokenizers._sentence_piece_file import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    SentencePiece,
    read_sentence_pieces,
)
from tests.tokenizers.spm import OPENING, message, model_file, number, piece

PIECES = [*OPENING, ("▁a", -1.5), ("b", -2.25)]


def read(tmp_path, data):
    (tmp_path / "some.spm").write_bytes(data)
    return read_sentence_pieces(tmp_path / "some.spm")


def test_what_a_file_says(tmp_path):
    found = read(tmp_path, model_file(PIECES))
    assert found.pieces == (
        *(
            SentencePiece("<unk>", 0.0, UNKNOWN),
            SentencePiece("<s>", 0.0, CONTROL),
            SentencePiece("</s>", 0.0, CONTROL),
        ),
        *(SentencePiece("▁a", -1.5, NORMAL), SentencePiece("b", -2.25, NORMAL)),
    )
    assert (found.model, found.byte_fallback, found.charsmap) == ("unigram", False, b"")
    assert found.adds_space and found.strips_spaces
    told = model_file(PIECES, model=2, trainer=number(35, 1), normalizer=number(3, 0) + number(4, 0))
    found = read(tmp_path, told)
    assert (found.model, found.byte_fallback) == ("bpe", True)
    assert not found.adds_space and not found.strips_spaces


WHOLE = model_file(PIECES)
NUMBER = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
WRONG = {
    "cut off": (WHOLE[:-1], r"field \d+ claims \d+ bytes at byte \d+, and \d+ are left|does not end"),
    "longer than any file": (b"\x0a" + NUMBER, "field 1 claims 18,446,744,073,709,551,615 bytes"),
    "a number without end": (b"\xff" * 30, "the number at byte 0 does not end"),
    "empty": (b"", "it holds no pieces"),
    "text": (b"IQ== 0\nIg== 1\n", "some.spm is no SentencePiece model that can be read"),
    "twice": (model_file([*PIECES, ("b", 0.0)]), "a piece stands in it twice"),
    "no number": (model_file([*PIECES, ("c", float("nan"))]), "the score of 'c' is nan"),
    "no unknown": (model_file(PIECES[1:]), "one piece stands for what is unknown: got 0"),
    "words": (model_file(PIECES, model=3), "its model is 'word': unigram and bpe are read"),
    "suffix": (model_file(PIECES, trainer=number(24, 1)), "treat_whitespace_as_suffix"),
    "spaces": (model_file(PIECES, normalizer=number(5, 0)), "escape_whitespaces"),
    "decoding": (WHOLE + message(5, message(2, b"abc")), "a table of characters for decoding"),
    "not UTF-8": (WHOLE + message(1, message(1, b"\xff")), "can't decode byte 0xff"),
    "a piece of number": (WHOLE + number(1, 5), "field 1 is no message"),
    "a text of number": (WHOLE + message(1, number(1, 5)), "a text in it is stored as a number"),
    "a whole score": (WHOLE + message(1, message(1, "x") + number(2, 5)), "stored as no float"),
    "no text": (WHOLE + piece(""), "a piece has no text"),
    "a group": (b"\x0b", "of wire type 3"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_lies_is_a_line(tmp_path, kind):
    data, message = WRONG[kind]
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, data)
    assert "some.spm" in str(caught.value) and "\n" not in str(caught.value)


def test_no_cut_and_no_wrong_byte_is_more_than_a_line(tmp_path):
    draw = random.Random(1)
    for cut in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[draw.randrange(len(WHOLE))] = draw.randrange(256)
        for data in (WHOLE[:cut], bytes(changed)):
            try:
                read(tmp_path, data)
            except ValueError as error:
                assert "some.spm" in str(error)


def unit(*, label=0, base=0, value=False):
    return base << 10 | value << 8 | label


def charsmap(*, leaf=0, base=256, texts=b"A\0", size=512):
    """A table by which "a" becomes "A": the root's children stand at 256 XOR a byte, the value at 256."""
    units = [0] * size
    units[0] = unit(base=256)
    units[256 ^ 97] = unit(label=97, base=(256 ^ 97) ^ base, value=True)
    if base < size:
        units[base] = 1 << 31 | leaf
    return struct.pack(f"<I{size}I", 4 * size, *units) + texts


def test_a_table_of_characters_is_followed(tmp_path):
    import tokenizers

    check_charsmap(charsmap())
    assert tokenizers.normalizers.Precompiled(charsmap()).normalize_str("banana") == "bAnAnA"
    assert read(tmp_path, model_file(PIECES, normalizer=message(2, charsmap()))).charsmap == charsmap()


LIES = {
    "a trie of more bytes than there are": (b"\xff\xff\xff\xffab", "claims a trie of 4,294,967,295 bytes"),
    "part of a unit": (b"\x02\0\0\0ab", "expected whole units"),
    "no trie": (b"\0\0\0\0ab", "expected whole units"),
    "children outside": (struct.pack("<I2I", 8, unit(base=4096), 0) + b"A\0", "leads out of itself"),
    "a value outside": (charsmap(base=4096), "leads out of itself"),
    "a text outside": (charsmap(leaf=9), "a text that is not there"),
    "half a character": (charsmap(leaf=1, texts="é\0".encode()), "into the middle of a character"),
    "no text": (charsmap(texts=b"\xff\0"), "is not UTF-8"),
}


@pytest.mark.parametrize("kind", LIES)
def test_a_table_that_lies_is_a_line(tmp_path, kind):
    data, message_ = LIES[kind]
    with pytest.raises(ValueError, match=message_):
        read(tmp_path, model_file(PIECES, normalizer=message(2, data)))


def test_fields_of_fixed_width_are_bytes():
    fields = list(read_fields(b"\x0d\x01\x02\x03\x04\x11" + bytes(8)))
    assert [tuple(field) for field in fields] == [(1, 5, b"\x01\x02\x03\x04"), (2, 1, bytes(8))]
