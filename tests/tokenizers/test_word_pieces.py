"""vocab.txt: its lines, and what stands beside it, against transformers; symbols and residues by hand."""

import itertools
import random

import pytest
import tokenizers as library

from jaxlm import tokenizers
from jaxlm.tokenizers._word_pieces import read_vocab_txt
from tests.tokenizers.folders import BERT, differences, listed, stored, write

PROTBERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]
MERS = ["<cls>", "<pad>", "<eos>", "<unk>", "A", "C", "G", "AAAC", "<mask>", "AA"]
LINES = {
    "plain": BERT,
    "U+2028": [*BERT[:6], "\u2028", *BERT[6:]],
    "NEL": [*BERT[:6], "\x85", *BERT[6:]],
    "within": [*BERT[:6], "a\u2028b", "a\x0bb", "a\x0cb", "a\x1cb", "a\u2029b", *BERT[6:]],
    "blank": [*BERT[:6], "", *BERT[6:]],
    "white": [f"{token} \t" for token in BERT],
    "no mask": [token for token in BERT if token != "[MASK]"],
}
CONFIGS = (
    {},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"strip_accents": True, "do_lower_case": False},
    {"tokenize_chinese_chars": False},
    {"pad_token": "<pad>"},
    {"mask_token": stored("[MASK]", lstrip=True)},
    {"additional_special_tokens": ["[NEW]", "<x>"]},
    {"unk_token": "[PAD]"},
    {"mask_token": None},
)
CLASSES = (("bert", None), ("distilbert", None), ("gpt2", "BertTokenizer"), ("bert", "ElectraTokenizerFast"))
ADDED = ("none", "file", "decoder", "map")
CASES = list(itertools.product(CLASSES, LINES, ("\n", "\r\n"), CONFIGS, ADDED))


def files(kind, lines, end, config, added):
    model_type, name = kind
    lines, config = LINES[lines], dict(config) | ({"tokenizer_class": name} if name else {})
    found = {"config.json": {"model_type": model_type, "vocab_size": 90}}
    found["vocab.txt"] = "".join(line + end for line in lines)
    if added == "file":
        found["added_tokens.json"] = {"[NEW]": len(lines), "New": len(lines) + 1}
    if added == "decoder":
        config["added_tokens_decoder"] = listed(len(lines))
    if added == "map":
        found["special_tokens_map.json"] = {"additional_special_tokens": ["<e1>", "<x>"]}
    return found | {"tokenizer_config.json": config}


@pytest.mark.parametrize("lines", LINES)
def test_ids_are_those_of_transformers(lines):
    cases = [case for case in CASES if case[1] == lines]
    for case in random.Random(lines).sample(cases, 6):
        assert differences(files(*case)) is None, case


@pytest.mark.long
@pytest.mark.parametrize("lines", LINES)
def test_ids_are_those_of_transformers_in_every_case(lines):
    for case in CASES:
        if case[1] == lines:
            assert differences(files(*case)) is None, case


@pytest.mark.parametrize("break_", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_line_ends_at_lf_and_cr_lf_and_nowhere_else(tmp_path, break_, end, last):
    lines = ["[UNK]", f"a{break_}b", "", "the", "low"]
    text = end.join(lines) + end * last
    (tmp_path / "vocab.txt").write_bytes(text.encode())
    assert read_vocab_txt(tmp_path / "vocab.txt") == lines
    (tmp_path / "vocab.txt").write_bytes(("\ufeff" + text).encode())
    assert tokenizers.load_tokenizer(tmp_path).encode("the low").tolist() == [3, 4]


@pytest.mark.parametrize("empty", [[""], ["", ""], [" ", "\u3000"]])
@pytest.mark.parametrize("place", [0, 6, len(BERT)])
def test_an_empty_line_takes_a_place_and_no_role(tmp_path, empty, place):
    lines = [*BERT[:place], *empty, *BERT[place:]]
    tokenizer = tokenizers.load_tokenizer(write(tmp_path, {"vocab.txt": "\n".join(lines) + "\n"}))
    specials = tokenizer.specials._asdict()
    assert {role: lines[id] for role, id in specials.items() if id is not None} == {
        "pad": "[PAD]",
        "unk": "[UNK]",
        "cls": "[CLS]",
        "sep": "[SEP]",
        "mask": "[MASK]",
    }
    ids = tokenizer.encode("the [MASK] lower", add_specials=True)
    assert [lines[id] for id in ids] == ["[CLS]", "the", "[MASK]", "low", "##er", "[SEP]"]
    assert all(id in tokenizer.special_ids for id, line in enumerate(lines) if line and line[0] == "[")


def test_a_line_that_stands_twice_leaves_the_ids_of_added_tokens(tmp_path):
    lines = [*BERT[:6], "the", *BERT[6:]]
    beside = {"added_tokens.json": {"<new>": len(lines)}}
    tokenizer = tokenizers.load_tokenizer(write(tmp_path, {"vocab.txt": "\n".join(lines), **beside}))
    assert tokenizer.encode("the new<new>").tolist() == [6, len(lines) - 1, len(lines)]
    assert 5 in tokenizer.special_ids and tokenizer.token(5) == "<hole 5>"


def test_a_vocabulary_in_upper_case_keeps_case_and_says_so(tmp_path, caplog):
    write(tmp_path, {"vocab.txt": "\n".join([*BERT, "The", "[Unused]"])})
    assert tokenizers.load_tokenizer(tmp_path).encode("The the").tolist() == [len(BERT), 5]
    assert "no file says do_lower_case, and the vocabulary has 'The': case is kept" in caplog.text
    caplog.clear()
    write(tmp_path, {"tokenizer_config.json": {"do_lower_case": True}})
    assert tokenizers.load_tokenizer(tmp_path).encode("The the").tolist() == [5, 5]
    write(tmp_path, {"tokenizer_config.json": {}, "vocab.txt": "\n".join([*BERT, "[Unused]", "漢"])})
    assert tokenizers.load_tokenizer(tmp_path).encode("The the").tolist() == [5, 5] and not caplog.records


def by_hand(lines):
    """A WordLevel tokenizer of the same lines, of sequences whose residues stand apart."""
    vocab = {token: id for id, token in enumerate(lines)}
    backend = library.Tokenizer(library.models.WordLevel(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    return lambda sequence: [vocab["[CLS]"], *backend.encode(" ".join(sequence)).ids, vocab["[SEP]"]]


@pytest.mark.parametrize("config", [{}, {"do_lower_case": False}, {"do_lower_case": True}])
@pytest.mark.parametrize("order", range(3))
def test_residues_are_read_with_and_without_spaces(tmp_path, config, order):
    lines = [*PROTBERT[:5], *random.Random(order).sample(PROTBERT[5:], 25 - order * 2)]
    lines += [letter for letter in "ACDEFGHIKLMNPQRSTVWY" if letter not in lines]
    write(tmp_path, {"vocab.txt": "\n".join(lines), "config.json": {"model_type": "bert"}})
    write(tmp_path, {"tokenizer_config.json": config})
    tokenizer, expected = tokenizers.load_tokenizer(tmp_path), by_hand(lines)
    draw = random.Random(order)
    for _ in range(50):
        sequence = "".join(draw.choices("ACDEFGHIKLMNPQRSTVWYXBZUOJ*-k漢", k=draw.randint(0, 30)))
        for text in (sequence, " ".join(sequence), f"\n{sequence}\n"):
            assert tokenizer.encode(text, add_specials=True).tolist() == expected(sequence)
    assert tokenizer.encode("MK[MASK]").tolist()[2] == 4 and tokenizer.decode(tokenizer.encode("M K")) == "MK"


def test_a_tokenizer_json_of_residues_reads_them_without_spaces_too(tmp_path):
    write(tmp_path, {"vocab.txt": "\n".join(PROTBERT)})
    model = library.models.WordPiece({token: id for id, token in enumerate(PROTBERT)}, unk_token="[UNK]")
    backend = library.Tokenizer(model)
    backend.normalizer = library.normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(PROTBERT[:5])
    file = tokenizers.load_tokenizer(write(tmp_path / "json", {"tokenizer.json": backend.to_str()}))
    for text in ("MKTAYI", "M K T", "MJ[MASK]"):
        assert file.encode(text).tolist() == tokenizers.load_tokenizer(tmp_path).encode(text).tolist()


@pytest.mark.parametrize("config", [{}, {"eos_token": None}, {"additional_special_tokens": ["<x>"]}])
@pytest.mark.parametrize("lines", [MERS, [*tokenizers.RESIDUES, "<x>"]])
def test_esms_symbols_are_those_of_transformers(config, lines):
    draw = random.Random(0)
    symbols = ["A", "AA", "C", "G", "AAAC", "M", " ", "\n", "<mask>", "z", "ZZ", "<x>", "<y>", "<cls>"]
    texts = ["".join(draw.choices(symbols, k=draw.randint(0, 12))) for _ in range(200)]
    beside = {"added_tokens.json": {"<y>": len(lines)}, "tokenizer_config.json": config}
    made = {"config.json": {"model_type": "esm", "vocab_size": 90}, "vocab.txt": "\n".join(lines)}
    assert differences(made | beside, texts) is None


def test_symbols_of_esms_need_no_name(tmp_path):
    assert tokenizers.load_tokenizer(write(tmp_path, {"vocab.txt": "\n".join(MERS)})).encode(
        "AAACAAG", add_specials=True
    ).tolist() == [0, 7, 9, 6, 2]


@pytest.mark.parametrize("where", ["tokenizer_config.json", "config.json"])
def test_a_class_that_needs_more_than_its_vocabulary_is_refused_by_name(tmp_path, where):
    write(tmp_path, {"vocab.txt": "\n".join(BERT), where: {"tokenizer_class": "BertJapaneseTokenizer"}})
    with pytest.raises(ValueError, match=r"tokenizer_class='BertJapaneseTokenizer' .* a Japanese dictionary"):
        tokenizers.load_tokenizer(tmp_path)


def test_a_vocabulary_that_is_no_text_is_one_line(tmp_path):
    write(tmp_path, {"vocab.txt": b"[UNK]\nthe\n\xff\n"})
    with pytest.raises(ValueError, match=r"vocab\.txt: not UTF-8 at byte 10"):
        tokenizers.load_tokenizer(tmp_path)
