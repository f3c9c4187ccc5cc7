"""Marian folders as they are published: two files of SentencePiece, and a vocabulary of both languages."""

import json
import pickle
import random

import pytest

from jaxlm import tokenizers
from tests.tokenizers.spm import OPENING, USER_DEFINED, model_file

SOURCE = [("▁", -5.0), ("▁a", -1.0), ("▁ab", -4.0), ("b", -2.0), ("c", -3.0), ("▁rare", -1.5), ("é", -4.0)]
TARGET = [("▁", -5.0), ("▁a", -3.0), ("▁ab", -1.0), ("b", -9.0), ("ö", -2.0), ("öö", -3.0)]
VOCAB = ["</s>", "<unk>", ">>de<<", "▁a", "b", "▁ab", "c", "▁", "ö", "öö", "é", "<pad>"]
UNK = 1


def write(folder, *, source=SOURCE, target=TARGET, vocab=VOCAB, **config):
    (folder / "source.spm").write_bytes(model_file([*OPENING, *(one[:3] for one in source)]))
    (folder / "target.spm").write_bytes(model_file([*OPENING, *target]))
    (folder / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(vocab)}))
    config = {"source_lang": "en", "target_lang": "de", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def read(tokenizer, text):
    return [VOCAB[id] for id in tokenizer.encode(text, add_specials=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # -1 - 2 is more than -4
        ("ab", ["▁a", "b", "</s>"]),
        ("  ab   c ", ["▁a", "b", "▁", "c", "</s>"]),
        # A piece of the file that the vocabulary lacks is one unknown; so is what no piece covers, as a whole
        ("rare b", ["<unk>", "▁", "b", "</s>"]),
        ("xyz", ["▁", "<unk>", "</s>"]),
        # ... unless the other language has it
        ("öö", ["▁", "öö", "</s>"]),
        ("öx", ["▁", "<unk>", "</s>"]),
        (">>de<< ab", [">>de<<", "▁a", "b", "</s>"]),
        (">>de<<ab", [">>de<<", "▁a", "b", "</s>"]),
        (">>xx<<ab", ["<unk>", "▁a", "b", "</s>"]),
        ("", ["</s>"]),
        ("  ", ["</s>"]),
    ],
)
def test_the_likeliest_pieces_by_hand(tmp_path, text, expected):
    assert read(tokenizers.load_tokenizer(write(tmp_path)), text) == expected


def test_translations_are_divided_by_their_own_file(tmp_path):
    source, target = (tokenizers.load_tokenizer(write(tmp_path), side=side) for side in ("source", "target"))
    assert read(source, "ab") == ["▁a", "b", "</s>"] and read(target, "ab") == ["▁ab", "</s>"]
    assert source.decode([5, 3, 9, 0]) == target.decode([5, 3, 9, 0]) == "ab aöö</s>"
    assert source.encode_batch(["ab", "rare"])[1].tolist() == [UNK]


def test_ids_are_the_vocabulary_s_wherever_it_goes(tmp_path):
    loaded = tokenizers.load_tokenizer(write(tmp_path))
    assert loaded.vocab_size == len(VOCAB)
    assert (loaded.specials.unk, loaded.specials.eos, loaded.specials.pad) == (1, 0, 11)
    assert [loaded.token(id) for id in (3, 9)] == [" a", "öö"] and loaded.id("öö") == 9
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    for again in (tokenizers.load_tokenizer(tmp_path / "again"), pickle.loads(pickle.dumps(loaded))):
        assert again == loaded and read(again, "rare öö x") == ["<unk>", "▁", "öö", "▁", "<unk>", "</s>"]


def test_a_user_s_piece_is_never_divided(tmp_path):
    loaded = tokenizers.load_tokenizer(
        write(tmp_path, source=[*SOURCE, ("bc", 0.0, USER_DEFINED)], vocab=[*VOCAB, "bc"])
    )
    assert loaded.encode("abc").tolist() == [3, len(VOCAB)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab": VOCAB[1:]}, "vocab.json has no </s>"),
        ({"separate_vocabs": True}, "a vocabulary for each side"),
    ],
)
def test_what_does_not_fit_is_a_line(tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        tokenizers.load_tokenizer(write(tmp_path, **options))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", ['{"</s>": 0, "<unk>": 2}', '{"</s>": "a"}', "[]", "{"])
def test_a_vocabulary_that_is_none_is_a_line(tmp_path, text):
    (write(tmp_path) / "vocab.json").write_text(text)
    with pytest.raises(ValueError, match=r"vocab\.json"):
        tokenizers.load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["source.spm", "vocab.json"])
def test_a_file_that_is_missing_is_a_line(tmp_path, name):
    (write(tmp_path) / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"found .*target\.spm; Marian.s are source\.spm, "):
        tokenizers.load_tokenizer(tmp_path)


def test_sentinels_have_no_room(tmp_path):
    with pytest.raises(ValueError, match="gets no sentinels"):
        tokenizers.with_sentinels(tokenizers.load_tokenizer(write(tmp_path)), 1)


TEXTS = [
    *("the cat sat", " the   cat ", "", "  ", ">>de<< the hat", ">>de<<the hat", ">>zz<< the hat", "hüten"),
    *("漢字 hats", "漢 hat 漢字日", "die katze saß", "the</s>cat", "\uff34\uff48e\u3000cat", "\tthe\ncat\n"),
    *("e\u0301 é ½ ﬁ", "the <unk> cat", "cat👨‍👩‍👧x", "▁the", "the▁ cat", "a" * 50, "กำ x", "\u200bthe"),
]


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_ids_and_texts_are_those_of_marian_s_own_tokenizer(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    transformers = pytest.importorskip("transformers")
    words = {
        "source": "the cat sat on a mat with hats and rats that ate fat oats in hot hats what ? ! .",
        "target": "die katze saß auf der matte mit hüten und ratten aßen hafer heiße was ? ! .",
    }
    pieces, draw = {}, random.Random(0)
    for side, known in words.items():
        lines = (" ".join(draw.choices(known.split(), k=6)) for _ in range(200))
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_prefix=str(tmp_path / side),
            vocab_size=60,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (tmp_path / f"{side}.model").rename(tmp_path / f"{side}.spm")
        found = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{side}.spm"))
        pieces |= {found.id_to_piece(id): None for id in range(3, found.get_piece_size())}
    vocab = ["</s>", "<unk>", ">>de<<", "漢", "漢字", *list(pieces)[2:], "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(vocab)}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de"}))
    theirs = transformers.MarianTokenizer.from_pretrained(tmp_path)
    for side, name in (("source", "text"), ("target", "text_target")):
        ours = tokenizers.load_tokenizer(tmp_path, side=side)
        for text in TEXTS:
            ids = theirs(**{name: text})["input_ids"]
            assert ours.encode(text, add_specials=True).tolist() == ids, text
            # Theirs has a space behind each special token.
            plain = [id for id in ids if vocab[id] not in ("<unk>", "</s>")]
            assert ours.decode(plain) == theirs.decode(plain)
