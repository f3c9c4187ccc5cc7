"""A tokenizer.json and tokenizer_config.json: classes, settings and files mixed, against transformers."""

import itertools
import json
import random

import pytest
import tokenizers as library
from tokenizers import models, normalizers, pre_tokenizers, processors

from jaxlm import tokenizers
from tests.tokenizers.folders import ROBERTA, byte_vocab, differences, write

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "low",
    "##er",
    "The",
    "é",
    "e",
    "漢",
    "漢low",
    "LOW",
]
OF_WORDS = (
    *((None, "bert"), (None, "distilbert"), ("BertTokenizerFast", "gpt2"), ("ElectraTokenizer", "bert")),
    *(("PreTrainedTokenizerFast", "bert"), ("BertTokenizer", "modernbert"), ("OurOwnTokenizer", "bert")),
    *((None, "modernbert"), ("BertTokenizer", "llama")),
)
FOR_WORDS = (
    *({}, {"do_lower_case": True}, {"do_lower_case": False}, {"strip_accents": True}),
    *({"strip_accents": False, "do_lower_case": False}, {"tokenize_chinese_chars": False}),
    *({"additional_special_tokens": ["<x>"]}, {"pad_token": "<pad>"}, {"add_bos_token": True}),
)
OF_BYTES = (
    *(
        (None, "gpt2"),
        (None, "roberta"),
        (None, "bart"),
        (None, "gpt_neox"),
        (None, "qwen2"),
        (None, "llama"),
    ),
    *(("GPT2Tokenizer", "llama"), ("LlamaTokenizerFast", "llama"), ("PreTrainedTokenizerFast", "gpt2")),
    *(
        ("PreTrainedTokenizerFast", "qwen2"),
        ("PreTrainedTokenizerFast", "qwen3"),
        ("RobertaTokenizer", "gpt2"),
    ),
    *(("CodeGenTokenizer", "gpt2"), ("RobertaTokenizerFast", "modernbert"), (None, "mistral")),
    *((None, "llama"), ("RobertaTokenizer", "gpt2")),
)
FOR_BYTES = (
    *({}, {"add_prefix_space": True}, {"add_prefix_space": False}, {"additional_special_tokens": ["<x>"]}),
    *({"add_bos_token": True, "add_eos_token": True, "bos_token": "<s>"}, {"pad_token": "[PAD]"}),
)
OF_PIECES = (
    *(("LlamaTokenizer", "llama"), ("LlamaTokenizerFast", "mistral"), (None, "llama")),
    *(("GemmaTokenizer", "gemma2"), ("LlamaTokenizer", "gpt2")),
)
FOR_PIECES = (
    *({}, {"add_prefix_space": False}, {"add_prefix_space": True}, {"legacy": False}, {"legacy": True}),
    *({"legacy": True, "add_prefix_space": True}, {"add_bos_token": False}),
)


def of_words(lower, strip, ends):
    backend = library.Tokenizer(
        models.WordPiece({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(WORDS[:5])
    if ends:
        backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return backend.to_str()


def of_bytes(opening, pre_tokenizer, normalizer=None):
    vocab = byte_vocab(*ROBERTA, "<|endoftext|>")
    backend = library.Tokenizer(models.BPE(vocab, [("l", "o"), ("lo", "w"), ("Ġ", "low")]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, library.decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.add_special_tokens([*ROBERTA, "<|endoftext|>"])
    if opening:
        special = [("<s>", vocab["<s>"])]
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=special)
    return backend.to_str()


def of_pieces(spaces):
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "l", "o", "▁l", "▁lo"]
    merges = [("▁", "l"), ("▁l", "o")]
    vocab = {piece: id for id, piece in enumerate(pieces)}
    model = models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    backend = library.Tokenizer(model)
    replace = normalizers.Replace(" ", "▁")
    if spaces == "first":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        before = [normalizers.Prepend("▁")] if spaces == "prepended" else []
        backend.normalizer = normalizers.Sequence([*before, replace])
    backend.add_special_tokens(pieces[:3])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend.to_str()


PLAIN, SPACED = (pre_tokenizers.ByteLevel(add_prefix_space=spaced) for spaced in (False, True))
BY_DIGIT = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), SPACED])
FILES = {
    "words": [of_words(*way) for way in itertools.product((True, False), (None, True, False), (True, False))],
    "bytes": [
        *(of_bytes(opening, cut) for opening in (True, False) for cut in (PLAIN, SPACED)),
        of_bytes(
            False, pre_tokenizers.Sequence([pre_tokenizers.Digits(True), SPACED]), normalizers.Lowercase()
        ),
    ],
    "pieces": [of_pieces(spaces) for spaces in ("prepended", "first", "none")],
}
CASES = {
    "words": list(itertools.product(OF_WORDS, FOR_WORDS, FILES["words"])),
    "bytes": list(itertools.product(OF_BYTES, FOR_BYTES, FILES["bytes"])),
    "pieces": list(itertools.product(OF_PIECES, FOR_PIECES, FILES["pieces"])),
}


def files(kind, config, file):
    name, model_type = kind
    config = config | ({"tokenizer_class": name} if name else {})
    model = {"model_type": model_type, "vocab_size": 400}
    return {"config.json": model, "tokenizer_config.json": config, "tokenizer.json": file}


@pytest.mark.parametrize("of", CASES)
def test_ids_are_those_of_transformers(of):
    for case in random.Random(of).sample(CASES[of], 20):
        assert differences(files(*case)) is None, case[:2]


@pytest.mark.long
@pytest.mark.parametrize("of", CASES)
def test_ids_are_those_of_transformers_in_every_case(of):
    for case in CASES[of]:
        assert differences(files(*case)) is None, case[:2]


def ids(folder, text):
    return tokenizers.load_tokenizer(folder).encode(text).tolist()


def test_without_a_class_what_is_named_counts_and_nothing_else(tmp_path):
    write(tmp_path, {"tokenizer.json": of_words(False, None, False)})
    assert ids(tmp_path, "The é") == [8, 9]
    write(tmp_path, {"tokenizer_config.json": {"do_lower_case": True}})
    assert ids(tmp_path, "The é") == [5, 10]
    write(tmp_path, {"tokenizer_config.json": {"do_lower_case": True, "strip_accents": False}})
    assert ids(tmp_path, "The é") == [5, 9]
    vocab = byte_vocab()
    write(tmp_path, {"tokenizer.json": of_bytes(False, PLAIN), "tokenizer_config.json": {}})
    assert ids(tmp_path, "low") == [vocab["low"]]
    write(tmp_path, {"tokenizer_config.json": {"add_prefix_space": True}})
    assert ids(tmp_path, "low") == [vocab["Ġlow"]]


NAMED = (
    *({f"{role}_token": "low"} for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")),
    *({"additional_special_tokens": ["low"]}, {"image_token": "low"}, {}),
    {"added_tokens_decoder": {"{low}": {"content": "low", "special": False, "lstrip": True}}},
)


@pytest.mark.parametrize("of", ["words", "bytes"])
def test_a_named_token_stands_for_itself_though_the_file_lists_it_not(of):
    file = json.loads(FILES[of][0])
    file["added_tokens"] = []
    low = file["model"]["vocab"]["low"]
    kinds = {"words": ("bert", "modernbert"), "bytes": ("gpt2", "llama", "roberta")}[of]
    for model_type, named in itertools.product(kinds, NAMED):
        named = json.loads(json.dumps(named).replace("{low}", str(low)))
        assert differences(files((None, model_type), named, json.dumps(file))) is None, (model_type, named)


@pytest.mark.parametrize("made", [tokenizers.bytes_tokenizer(), tokenizers.residue_tokenizer()])
@pytest.mark.parametrize("kind", ["gpt2", "bert", "roberta", "qwen2", "esm"])
def test_a_file_of_ours_stays_what_it_is_beside_any_model(tmp_path, made, kind):
    made.save(tmp_path)
    write(tmp_path, {"config.json": {"model_type": kind, "vocab_size": 400}})
    assert tokenizers.load_tokenizer(tmp_path) == made


def test_an_empty_entry_of_a_file_takes_no_role(tmp_path):
    data = json.loads(FILES["words"][0])
    data["model"]["vocab"][""] = len(WORDS)
    for names in ({}, {"mask_token": "", "cls_token": {"content": ""}}):
        write(tmp_path, {"tokenizer.json": data, "special_tokens_map.json": names})
        found = tokenizers.load_tokenizer(tmp_path)
        assert found.specials == tokenizers.Specials(pad=0, unk=1, cls=2, sep=3, mask=4)
        assert found.encode("the [MASK]", add_specials=True).tolist() == [2, 5, 4, 3]


def test_a_token_that_the_file_lacks_is_known_while_there_is_a_row_for_it(tmp_path):
    config = {"additional_special_tokens": ["<x>", "[MASK]"], "bos_token": "<b>"}
    write(tmp_path, {"tokenizer.json": FILES["words"][0], "tokenizer_config.json": config})
    size = len(WORDS)
    assert (
        tokenizers.load_tokenizer(tmp_path).id("<x>") == size
        and tokenizers.load_tokenizer(tmp_path).specials.bos is None
    )
    found = tokenizers.load_tokenizer(tmp_path, rows=size + 2)
    assert (found.specials.bos, found.id("<x>"), found.special_ids[-2:]) == (size, size + 1, (size, size + 1))
    assert tokenizers.load_tokenizer(tmp_path, rows=size).vocab_size == size
