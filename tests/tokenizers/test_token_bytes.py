import random

import numpy as np
import pytest
import tokenizers as hf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers

from jaxlm import tokenizers
from tests.tokenizers.byte_kinds import BYTE_PIECES, KINDS, kind
from tests.tokenizers.spm import BYTE, CONTROL, OPENING, UNKNOWN, model_file, number

# Half surrogates are no characters.
CHARACTERS = st.characters(exclude_categories=["Cs"])
BITS = [
    *("the", "cats", "hat", "zzz", " zzz", "self", "12345", " ", "  ", " " * 9, "\n", "\t", "\r\n", "\x00"),
    *(
        "é",
        "e\u0301",
        "a\u0323\u0307",
        "漢字",
        " 東",
        "かな",
        "👩‍👩‍👧",
        "🏳️‍🌈",
        "\u200d",
        "\u3000",
        "\x85",
        "\x1f",
        "\ufeff",
    ),
    *("Ġ", "Ã", "…", "##", "#", "'s", "<0x41", "\U0010ffff", "\u2028", "<tool", "ﬁ"),
]
TEXTS = st.one_of(
    st.text(CHARACTERS), st.lists(st.sampled_from(BITS) | st.text(CHARACTERS, max_size=2)).map("".join)
)
# Texts of what small vocabularies know: characters, and words between white space.
KNOWN = st.lists(st.sampled_from([*"thecatso", "the", "cat", "hats,", " ", " ", "  ", "\n", "self"])).map(
    "".join
)
WORDS = st.lists(
    st.sampled_from(["the", "hat!", "sat", "cats'", "naïve", "漢字"])
    | st.sampled_from([" ", " ", "  ", "\n", "\u3000"]).map(lambda white: white + "new" + white)
).map(" ".join)


def texts(name):
    """Texts that a kind has no unknown pieces for."""
    return {"words": WORDS, "word pieces": WORDS}.get(name, KNOWN if name.startswith("unigrams") else TEXTS)


def spelled_by(tokenizer, text):
    """The bytes of a text's ids; None if one of them has none."""
    values = tokenizers.token_bytes(tokenizer).values
    found = [values[id] for id in tokenizer.encode(text)]
    return None if None in found else b"".join(found)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_ids_of_a_text_spell_it(name, data):
    tokenizer, spelled = kind(name)
    text = data.draw(texts(name))
    assume(not any(tokenizer.token(id) in text for id in tokenizer.special_ids))
    # What the marks of some kinds cannot be told from, as `losses` says.
    assume("▁" not in text and not (name == "unigrams and bytes" and "<0x" in text))
    assert spelled_by(tokenizer, text) == spelled(text).encode()


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_what_is_said_of_a_prefix_and_losses_holds(name, data):
    tokenizer, _ = kind(name)
    said, text = tokenizers.token_bytes(tokenizer), data.draw(WORDS if name.startswith("word") else KNOWN)
    if any("white space" in loss for loss in said.losses):
        text = " ".join(text.split())
    assume(text)
    found = spelled_by(tokenizer, text)
    gets = said.prefixes_spaces or not text.startswith(" ")
    assert found == said.prefix * gets + text.encode()
    assert said.text(tokenizer.encode(text)) == text.encode()[bool(said.prefix) and not gets :]


@pytest.mark.parametrize("name", KINDS)
def test_the_decoder_writes_the_same_inside_a_text(name):
    tokenizer, _ = kind(name)
    values, draw = tokenizers.token_bytes(tokenizer).values, random.Random(0)
    # The library writes added tokens of other characters than bytes' symbols well, and those of them ill.
    ids = [id for id, data in enumerate(values) if data is not None and tokenizer.token(id) != "naïve ▁Ġ"]
    first = tokenizer.encode("the").tolist()
    assert first and all(values[id] for id in first)
    compared = 0
    for _ in range(2000):
        some = draw.choices(ids, k=draw.randint(1, 4))
        try:
            text = b"".join(values[id] for id in some).decode()
        except UnicodeDecodeError:
            continue
        compared += 1
        assert tokenizer.decode([*first, *some]) == tokenizer.decode(first) + text, some
    assert compared > 300


@pytest.mark.parametrize("name", KINDS)
def test_every_id_but_specials_has_bytes(name):
    tokenizer, _ = kind(name)
    values = tokenizers.token_bytes(tokenizer).values
    assert len(values) == tokenizer.vocab_size
    unknown = {tokenizer.id("[UNK]"), tokenizer.id("<unk>")} - {None}
    without = {id for id, data in enumerate(values) if data is None}
    assert without == {*tokenizer.special_ids, *unknown}
    assert all(type(data) is bytes for data in values if data is not None)


def test_bytes_are_their_ids():
    values = tokenizers.token_bytes(tokenizers.bytes_tokenizer()).values
    assert values == (*(bytes([byte]) for byte in range(256)), None, None, None, None)


@pytest.mark.parametrize("alphabet", tokenizers.ALPHABETS)
def test_residues_are_their_letters_and_chains_are_separated(alphabet):
    tokenizer = tokenizers.residue_tokenizer(alphabet)
    found = tokenizers.token_bytes(tokenizer)
    symbols = tokenizers.ALPHABETS[alphabet]
    assert found.values == tuple(name.encode() if len(name) == 1 else None for name in symbols)
    sequence = "MKT-AYI.LAGVSERTIDPKQNFYMHWCBZUO"
    assert found.text(tokenizer.encode(sequence)) == sequence.encode() and not found.losses


def wordy(vocab, added=(), **parts):
    """A tokenizer of whole texts."""
    backend = hf.Tokenizer(models.WordLevel(vocab, unk_token="?"))
    for name, part in ({"decoder": decoders.Fuse()} | parts).items():
        setattr(backend, name, part)
    backend.add_tokens(list(added))
    return tokenizers.Tokenizer.from_json(backend.to_str())


def test_ids_without_a_token_and_rows_beyond_the_tokenizer_have_no_bytes():
    tokenizer = wordy({"?": 0, "a": 1, "c": 4, "": 5})
    assert tokenizers.token_bytes(tokenizer).values == (None, b"a", None, None, b"c", b"")
    assert tokenizers.token_bytes(tokenizer, rows=8).values == (None, b"a", None, None, b"c", b"", None, None)
    assert tokenizers.token_bytes(tokenizer, rows=2).values == (None, b"a")


def test_an_id_of_two_pieces_has_no_bytes():
    # The library writes such a file with one of the two, and reads it with both.
    text = wordy({"?": 0, "a": 1, "c": 2}).to_json().replace('"a":1', '"a":1,"b":1')
    tokenizer = tokenizers.Tokenizer.from_json(text)
    assert [tokenizer.encode(piece).tolist() for piece in "ab"] == [[1], [1]]
    assert tokenizers.token_bytes(tokenizer).values == (None, None, b"c")


def test_two_ids_may_have_the_same_bytes():
    tokenizer, _ = kind("Llama")
    values = tokenizers.token_bytes(tokenizer).values
    for byte in (0x20, 0x74):
        spelled = "▁" if byte == 0x20 else chr(byte)
        ids = [tokenizer.backend.token_to_id(piece) for piece in (spelled, BYTE_PIECES[byte])]
        assert ids[0] != ids[1] and values[ids[0]] == values[ids[1]] == bytes([byte])


def test_byte_pieces_are_text_where_the_model_does_not_fall_back_on_them():
    vocab = {"?": 0, "<0x41>": 1, "<0x4>": 2, "<0xe9>": 3}
    assert tokenizers.token_bytes(wordy(vocab)).values == (None, b"<0x41>", b"<0x4>", b"<0xe9>")
    backend = hf.Tokenizer(models.BPE(vocab, [], unk_token="?", byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    found = tokenizers.token_bytes(tokenizers.Tokenizer.from_json(backend.to_str()))
    assert found.values == (None, b"A", b"<0x4>", b"<0xe9>")


def test_added_tokens_have_the_bytes_of_the_text_they_are_found_in():
    tokenizer, _ = kind("byte-level")
    values = tokenizers.token_bytes(tokenizer).values
    for text in ("<tool>", "naïve ▁Ġ"):
        (id,) = tokenizer.encode(text)
        assert values[id] == text.encode()
    assert values[tokenizer.id("<|endoftext|>")] is None


def test_added_tokens_are_found_in_normalized_text():
    added = [hf.AddedToken("<Tool>", normalized=True), hf.AddedToken("<Raw>", normalized=False)]
    lower = wordy({"?": 0, "x": 1}, added, normalizer=normalizers.Lowercase())
    assert lower.encode("<tOOL><Raw>x").tolist() == [2, 3, 1]
    assert tokenizers.token_bytes(lower).values == (None, b"x", b"<tool>", b"<Raw>")
    legacy = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = {"normalizer": legacy, "decoder": decoders.Metaspace()}
    spaced = wordy({"?": 0, "▁x": 1}, added, **parts)
    assert spaced.encode("x <Tool>").tolist() == [1, 2]
    assert spelled_by(spaced, "x <Tool>") == b" x <Tool>"


@pytest.mark.parametrize(
    ("scheme", "in_parts", "spelled"), [("always", True, b"<x> a<x> a"), ("first", False, b"<x>a<x>a")]
)
def test_text_behind_an_added_token(scheme, in_parts, spelled):
    cut = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer = wordy({"?": 0, "a": 1, "▁a": 2}, ["<x>"], pre_tokenizer=cut, decoder=decoders.Metaspace())
    found = tokenizers.token_bytes(tokenizer)
    assert (found.prefix, found.prefixes_spaces, found.prefixes_parts) == (b" ", False, in_parts)
    # No text in front of which the prefix could stand.
    assert spelled_by(tokenizer, "<x>a<x>a") == spelled
    assert spelled_by(tokenizer, "a<x>") == b" a<x>"


def test_two_steps_that_put_a_space_in_front_put_one():
    tokenizer = wordy(
        {"?": 0, "▁a": 1},
        [hf.AddedToken("<x>", normalized=False)],
        normalizer=normalizers.Prepend("▁"),
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"),
        decoder=decoders.Metaspace(),
    )
    found = tokenizers.token_bytes(tokenizer)
    assert (found.prefix, found.prefixes_spaces, found.prefixes_parts) == (b" ", True, True)
    assert spelled_by(tokenizer, "a<x>a") == b" a<x> a"


def test_a_piece_that_is_an_added_token_too_is_said():
    backend = kind("byte-level")[0].backend
    backend = hf.Tokenizer.from_str(backend.to_str())
    backend.add_tokens(["é", "a"])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    found = tokenizers.token_bytes(tokenizer)
    assert found.values[tokenizer.backend.token_to_id("é")] == b"\xe9"
    assert found.losses == ("'é', an added token and a piece of other bytes",)
    assert spelled_by(tokenizer, "a 餐 a") == "a 餐 a".encode()


def test_an_added_token_of_marks_is_a_piece_of_spaces():
    backend = hf.Tokenizer.from_str(kind("Gemma")[0].backend.to_str())
    backend.add_tokens([hf.AddedToken("▁▁", normalized=False)])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    found = tokenizers.token_bytes(tokenizer)
    assert found.values[tokenizer.backend.token_to_id("▁▁")] == b"  "
    # Texts with marks in them are lost with and without it.
    assert found.losses == ("'▁', which stands for a space",)


@pytest.mark.parametrize("name", ["word pieces", "words", "instructions"])
def test_words_begin_with_spaces_but_the_first(name):
    found = tokenizers.token_bytes(kind(name)[0])
    assert (found.prefix, found.prefixes_spaces, found.prefixes_parts) == (b" ", False, True)


@pytest.mark.parametrize("ids", [[3], [0], [1, -1]])
def test_the_text_of_an_id_without_bytes_is_refused(ids):
    found = tokenizers.TokenBytes((None, b" a", b"b"), b" ")
    assert found.text([1, 2]) == b"ab" and found.text(np.array([2, 1], np.int32)) == b"b a"
    with pytest.raises(ValueError, match=f"id {ids[-1]} at position {len(ids) - 1} has no bytes"):
        found.text(ids)


def test_bytes_are_found_once():
    tokenizer, _ = kind("byte-level")
    assert tokenizers.token_bytes(tokenizer) is tokenizers.token_bytes(tokenizer)


def test_files_of_sentencepiece_by_hand(tmp_path):
    pieces = [("▁a", -1.0), ("b", -2.0), ("▁", -3.0), ("a", -4.0), *((p, 0.0, BYTE) for p in BYTE_PIECES)]
    options = {"model": 2, "trainer": number(35, 1), "normalizer": number(4, 0)}
    (tmp_path / "tokenizer.model").write_bytes(model_file([*OPENING, *pieces], **options))
    llama = tokenizers.load_tokenizer(tmp_path)
    found = tokenizers.token_bytes(llama)
    assert found.values[:7] == (None, None, None, b" a", b"b", b" ", b"a")
    assert found.values[7:] == tuple(bytes([byte]) for byte in range(256))
    assert (found.prefix, found.prefixes_spaces, found.prefixes_parts) == (b" ", True, True)
    assert spelled_by(llama, " aé") == "  aé".encode()


def test_pieces_that_no_text_is_divided_into_have_bytes(tmp_path):
    specials = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN)]
    (tmp_path / "spiece.model").write_bytes(model_file([*specials, ("▁a", -1.0), ("▁b", -1.0, 5)]))
    found = tokenizers.token_bytes(tokenizers.load_tokenizer(tmp_path))
    assert found.values[:5] == (None, None, None, b" a", b" b") and set(found.values[5:]) == {None}


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_bytes_are_those_of_sentencepiece(tmp_path, model):
    sentencepiece = pytest.importorskip("sentencepiece")
    name = {"bpe": "tokenizer", "unigram": "spiece"}[model]
    words = "the cat sat on a mat with hats and rats that ate fat oats in hot hats 12 345 ? ! . é 漢"
    draw = random.Random(0)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(draw.choices(words.split(), k=6)) for _ in range(200)),
        model_prefix=str(tmp_path / name),
        model_type=model,
        vocab_size=400,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{name}.model"))
    ours = tokenizers.load_tokenizer(tmp_path)
    found = tokenizers.token_bytes(ours)
    for id in range(theirs.get_piece_size()):
        plain = not (theirs.is_control(id) or theirs.is_unknown(id))
        piece = theirs.id_to_piece(id)
        byte = bytes.fromhex(piece[3:5]) if theirs.is_byte(id) else piece.replace("▁", " ").encode()
        assert found.values[id] == (byte if plain else None)
    for text in ("the cat", "  hats  é ", "漢字\n\x00 🤖", "e\u0301"):
        ids = theirs.encode(text)
        assert ours.encode(text).tolist() == ids
        assert found.text(ids) == text.encode() and theirs.decode(ids) == text


def test_marians_pieces_of_both_languages(tmp_path):
    from tests.tokenizers.test_marian import VOCAB, write

    marian = tokenizers.load_tokenizer(write(tmp_path))
    found = tokenizers.token_bytes(marian)
    specials = ("</s>", "<unk>", "<pad>")
    expected = [None if piece in specials else piece.replace("▁", " ").encode() for piece in VOCAB]
    assert found.values == tuple(expected)
    assert spelled_by(marian, "ab öö") == " ab öö".encode()
    assert "text behind an added token, which gets a space in front" in found.losses


@pytest.mark.parametrize("sequence", ["MKT", "M K T"])
def test_a_vocabulary_of_residues_leaves_white_space_out(tmp_path, sequence):
    lines = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>"]
    (tmp_path / "vocab.txt").write_text("\n".join(lines))
    tokenizer = tokenizers.load_tokenizer(tmp_path)
    assert spelled_by(tokenizer, sequence) == b"MKT"
    assert "white space" in " ".join(tokenizers.token_bytes(tokenizer).losses)


def test_pre_tokenizers_of_digits_and_signs_lose_nothing():
    backend = kind("byte-level")[0].backend
    backend = hf.Tokenizer.from_str(backend.to_str())
    parts = [pre_tokenizers.Punctuation(), pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(False)]
    backend.pre_tokenizer = pre_tokenizers.Sequence([*parts, pre_tokenizers.Split("a", "isolated")])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    text = " it's 12, a 漢字!\n"
    assert spelled_by(tokenizer, text) == text.encode() and not tokenizers.token_bytes(tokenizer).losses
