"""vocab.json with merges.txt: by hand, and every mixture of what stands beside them against transformers."""

import itertools
import random

import pytest

from jaxlm import tokenizers
from tests.tokenizers.folders import MERGES, ROBERTA, byte_vocab, differences, listed, stored, write

TYPES = ("gpt2", "roberta", "bart", "qwen2", "qwen3", "gpt_neox")
VOCABULARIES = ((), ROBERTA, ("<|endoftext|>",), ("<|endoftext|>", "[PAD]"))
CONFIGS = (
    {},
    {"add_prefix_space": True},
    {"add_bos_token": True},
    {"add_bos_token": True, "add_eos_token": True, "bos_token": "<s>"},
    {"pad_token": "[PAD]"},
    {"mask_token": stored("<mask>"), "sep_token": "</s>", "cls_token": "<s>"},
    {"additional_special_tokens": ["[NEW]", "<x>"]},
    {"extra_special_tokens": ["<x>"]},
    {"image_token": "<x>"},
    {"eos_token": None, "mask_token": None},
)
ADDED = ("none", "file", "decoder", "map")


def files(kind, extra, config, added, merges=MERGES):
    vocab, config = byte_vocab(*extra), dict(config)
    found = {
        "config.json": {"model_type": kind, "vocab_size": 400},
        "vocab.json": vocab,
        "merges.txt": merges,
    }
    if added == "file":
        found["added_tokens.json"] = {"[NEW]": len(vocab), "New": len(vocab) + 1}
    if added == "decoder":
        config["added_tokens_decoder"] = listed(len(vocab))
    if added == "map":
        found["special_tokens_map.json"] = {
            "additional_special_tokens": ["<e1>", "<x>"],
            "unk_token": "<unk>",
        }
    return found | {"tokenizer_config.json": config}


CASES = list(itertools.product(TYPES, VOCABULARIES, CONFIGS, ADDED))


@pytest.mark.parametrize("part", range(3))
def test_ids_are_those_of_transformers(part):
    for case in random.Random(part).sample(CASES, 12):
        assert differences(files(*case)) is None, case


@pytest.mark.long
@pytest.mark.parametrize("kind", TYPES)
def test_ids_are_those_of_transformers_in_every_case(kind):
    for case in CASES:
        if case[0] == kind:
            assert differences(files(*case)) is None, case


@pytest.mark.parametrize(
    "merges",
    [
        MERGES,
        MERGES.partition("\n")[2],
        MERGES.replace("\n", "\r\n"),
        MERGES.replace("\n", "\n\n"),
        MERGES.rstrip("\n"),
        "\ufeff" + MERGES,
        "# #\nl o\nlo w\nĠ low\n",
    ],
)
def test_merges_are_read_from_every_form_of_their_file(tmp_path, merges):
    write(tmp_path, files("gpt2", (), {}, "none", merges))
    vocab = byte_vocab()
    ids = tokenizers.load_tokenizer(tmp_path).encode("low low##")
    assert ids.tolist() == [vocab["low"], vocab["Ġlow"], vocab["##"]]


@pytest.mark.parametrize("kind", [None, "roberta", "bart"])
def test_a_roberta_folder_alone_opens_and_closes_its_texts(tmp_path, kind):
    vocab = byte_vocab(*ROBERTA)
    beside = {"config.json": {"model_type": kind}} if kind else {}
    tokenizer = tokenizers.load_tokenizer(
        write(tmp_path, {"vocab.json": vocab, "merges.txt": MERGES, **beside})
    )
    ids = [vocab[token] for token in ("<s>", "low", "<mask>", "</s>")]
    assert tokenizer.encode("low<mask>", add_specials=True).tolist() == ids
    found = tokenizer.specials
    assert [found.cls, found.mask, found.sep] == [ids[0], *ids[2:]]


def test_a_class_decides_over_the_model_type(tmp_path):
    made = files("roberta", ROBERTA, {"tokenizer_class": "GPT2TokenizerFast"}, "none")
    assert differences(made) is None
    assert tokenizers.load_tokenizer(write(tmp_path, made)).encode("low", add_specials=True).size == 1


def test_a_class_that_is_not_known_is_read_as_gpt2s_and_told(tmp_path, caplog):
    write(tmp_path, files("gpt2", ("<|endoftext|>",), {"tokenizer_class": "OurOwnTokenizer"}, "none"))
    vocab = byte_vocab("<|endoftext|>")
    ids = tokenizers.load_tokenizer(tmp_path).encode("low<|endoftext|>", add_specials=True)
    assert ids.tolist() == [vocab["low"], vocab["<|endoftext|>"]]
    assert "tokenizer_class='OurOwnTokenizer' is not known" in caplog.text


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ("l o\nlow\n", r"merges\.txt, line 2: expected a pair of tokens, got 'low'"),
        (b"l o\n\xff\n", r"merges\.txt: not UTF-8 at byte 4"),
        ("x unheard\n", r"vocab\.json and merges\.txt don't fit together"),
    ],
)
def test_merges_that_cannot_be_read_are_one_line(tmp_path, merges, message):
    write(tmp_path, files("gpt2", (), {}, "none", merges))
    with pytest.raises(ValueError, match=message) as caught:
        tokenizers.load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
