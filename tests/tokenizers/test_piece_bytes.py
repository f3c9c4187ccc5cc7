import pytest
import tokenizers as hf
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from jaxlm import tokenizers

WORDS = {"[UNK]": 0, "a": 1, "##b": 2}
MERGES = models.BPE({"a": 0, "b": 1}, [])
BYTES = {symbol: id for id, symbol in enumerate(pre_tokenizers.ByteLevel.alphabet())}


def made(model, cut=None, decoder=None, normalizer=None):
    backend = hf.Tokenizer(model)
    backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizer, cut, decoder
    return tokenizers.Tokenizer.from_json(backend.to_str())


REFUSED = {
    "BERT's": (
        (
            models.WordPiece(WORDS, unk_token="[UNK]"),
            pre_tokenizers.BertPreTokenizer(),
            decoders.WordPiece(),
            normalizers.BertNormalizer(),
        ),
        "words are divided by BertPreTokenizer, not by white space alone",
    ),
    "words and signs": (
        (models.WordLevel(WORDS, unk_token="[UNK]"), pre_tokenizers.Whitespace()),
        "its file has no decoder, and its ids do not tell where white space stood",
    ),
    "words that are not divided": (
        (models.WordPiece(WORDS, unk_token="[UNK]"), None, decoders.WordPiece()),
        "words are divided by no pre-tokenizer",
    ),
    "CLIP's": (
        (
            models.BPE(BYTES, [], end_of_word_suffix="</w>"),
            pre_tokenizers.ByteLevel(False),
            decoders.ByteLevel(),
        ),
        "its pieces end words with '</w>'",
    ),
    "pieces that no decoder joins": (
        (models.WordPiece(WORDS, unk_token="[UNK]"), pre_tokenizers.WhitespaceSplit(), decoders.Fuse()),
        "its decoder does not join pieces that begin with '##'",
    ),
    "pieces that another decoder joins": (
        (
            models.WordPiece(WORDS, unk_token="[UNK]"),
            pre_tokenizers.WhitespaceSplit(),
            decoders.WordPiece(prefix="@@"),
        ),
        "does not join pieces that begin with '##'",
    ),
    "pieces without marks": (
        (MERGES, pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()),
        "its pieces do not tell whether they begin a word",
    ),
    "bytes that are not decoded": (
        (models.BPE(BYTES, []), pre_tokenizers.ByteLevel(False), decoders.Fuse()),
        "its decoder writes 'Ġ' for 'Ġ', which is ' ' in a text",
    ),
    "bytes that are not there": (
        (models.BPE(BYTES, []), None, decoders.ByteLevel()),
        r"its decoder writes '\\\\xe9' for 'é', which is 'é' in a text",
    ),
    "a mark that is not decoded": (
        (MERGES, pre_tokenizers.Metaspace(), decoders.Fuse()),
        "its decoder writes '▁' for '▁', which is ' ' in a text",
    ),
    "a mark that is not there": (
        (MERGES, None, decoders.Metaspace()),
        "its decoder writes ' ' for '▁', which is '▁' in a text",
    ),
    "words behind a whole text": (
        (
            models.WordPiece(WORDS, unk_token="[UNK]"),
            pre_tokenizers.WhitespaceSplit(),
            decoders.Sequence([decoders.Fuse(), decoders.WordPiece()]),
        ),
        "its decoder's step WordPiece changes pieces",
    ),
    "a decoder that looks around": ((MERGES, None, decoders.CTC()), "its decoder's step CTC changes pieces"),
    "stripped pieces": (
        (MERGES, None, decoders.Sequence([decoders.Strip("a", 1, 0), decoders.Fuse()])),
        "its decoder's step Strip changes pieces",
    ),
    "patterns in pieces": (
        (MERGES, None, decoders.Sequence([decoders.Replace(Regex("a+"), "b"), decoders.Fuse()])),
        "its decoder's step Replace changes pieces",
    ),
    "bytes twice": (
        (
            models.BPE(BYTES, []),
            pre_tokenizers.ByteLevel(False),
            decoders.ByteLevel(),
            normalizers.ByteLevel(),
        ),
        "its step ByteLevel changes the symbols of bytes",
    ),
    "a prefix behind bytes": (
        (
            models.BPE(BYTES, []),
            None,
            decoders.ByteLevel(),
            normalizers.Sequence([normalizers.ByteLevel(), normalizers.Prepend("Ġ")]),
        ),
        "its step Prepend changes the symbols of bytes",
    ),
    "words that a pattern divides": (
        (
            models.BPE({"a": 0, "##a": 1}, [], continuing_subword_prefix="##"),
            pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(False)]),
            decoders.Sequence([decoders.WordPiece(), decoders.ByteLevel()]),
        ),
        "words are divided by ByteLevel, not by white space alone",
    ),
    "spaces behind bytes": (
        (
            models.BPE(BYTES, []),
            pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(False), pre_tokenizers.Metaspace()]),
            decoders.ByteLevel(),
        ),
        "its step Metaspace changes the symbols of bytes",
    ),
    "spaces twice": (
        (
            models.WordPiece(WORDS, unk_token="[UNK]"),
            pre_tokenizers.WhitespaceSplit(),
            decoders.WordPiece(),
            normalizers.Prepend("▁"),
        ),
        "spaces are put in front of words twice",
    ),
    "a mark in front of words, which is not decoded": (
        (
            MERGES,
            pre_tokenizers.Sequence(
                [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]
            ),
            decoders.Fuse(),
        ),
        "its decoder writes '▁' for '▁', which is ' ' in a text",
    ),
    "bytes of words": (
        (
            models.BPE({"a": 0, "##b": 1}, [], continuing_subword_prefix="##", byte_fallback=True),
            pre_tokenizers.WhitespaceSplit(),
            decoders.WordPiece(),
        ),
        "its byte pieces do not tell whether they begin a word",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_tell_its_bytes_says_why(name):
    parts, why = REFUSED[name]
    with pytest.raises(tokenizers.UnknownBytesError, match=why) as refused:
        tokenizers.token_bytes(made(*parts))
    assert "\n" not in str(refused.value) and str(refused.value).endswith(
        "SentencePiece tokenizers tell them"
    )


def test_what_a_decoder_does_to_a_whole_text_is_no_part_of_a_piece():
    steps = [decoders.Fuse(), decoders.Replace(Regex(r"\A +| +\z"), ""), decoders.Strip(" ", 1, 1)]
    steps.append(decoders.Replace("a .", "a."))
    spaces = made(models.BPE({" ": 0, "a ": 1, "a .": 2}, []), None, decoders.Sequence(steps))
    assert tokenizers.token_bytes(spaces).values == (b" ", b"a ", b"a .")


@pytest.mark.parametrize("late", [False, True])
def test_a_mark_is_replaced_in_pieces_or_in_the_whole(late):
    parts = [decoders.Replace("▁", " "), decoders.Fuse()]
    pieces = made(
        models.BPE({"▁": 0, "a▁": 1}, []),
        None,
        decoders.Sequence(parts[::-1] if late else parts),
        normalizers.Replace(" ", "▁"),
    )
    assert tokenizers.token_bytes(pieces).values == (b" ", b"a ")


def test_a_piece_of_a_byte_level_vocabulary_that_is_no_symbols_is_its_own_text():
    vocab = BYTES | {"Ġa": 256, "a b": 257, "漢": 258}
    found = tokenizers.token_bytes(
        made(models.BPE(vocab, []), pre_tokenizers.ByteLevel(False), decoders.ByteLevel())
    )
    assert found.values[256:] == (b" a", b"a b", "漢".encode())
