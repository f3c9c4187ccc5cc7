"""What the tokenizers' library cannot do is a ValueError of one line, at every door of a tokenizer."""

import json
import time

import numpy as np
import pytest
import tokenizers as hugging_face
from tokenizers import Regex, models, normalizers, pre_tokenizers

from jaxlm import tokenizers

# As Llama 3's file cuts texts; of so many spaces the library says that it gives up.
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s*[\r\n]+|\s+(?!\S)|\s+"
EXPLODING = r"(?:a|a)+c"
SPACES = " " * 12_000_000
TEXT = "a" * 40 + "b"


def word_level(**fields):
    backend = hugging_face.Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    return json.loads(backend.to_str()) | fields


def merging(**fields):
    content = json.loads(hugging_face.Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).to_str())
    return content | {"model": content["model"] | fields}


def exploding():
    backend = hugging_face.Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(EXPLODING), "isolated")
    return tokenizers.Tokenizer.from_json(backend.to_str())


def doors(tokenizer, text):
    yield lambda: tokenizer.encode(text)
    yield lambda: tokenizer.encode(text, add_specials=True)
    yield lambda: tokenizer.encode_batch([text, "a"])
    yield lambda: tokenizer.encoding(text)


def refused(call, match=None):
    with pytest.raises(ValueError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "model", [models.WordPiece({"a": 0}, unk_token="[UNK]"), models.Unigram([("a", 0.0)])]
)
def test_an_unknown_character_without_an_unknown_token(model):
    tokenizer = tokenizers.Tokenizer.from_json(hugging_face.Tokenizer(model).to_str())
    for door in doors(tokenizer, "b"):
        refused(door, "cannot divide")


def test_a_panic_is_an_error_of_its_text_and_the_next_text_is_read():
    tokenizer = exploding()
    for door in doors(tokenizer, TEXT):
        refused(door, "cannot divide this text")
    assert tokenizer.encode("a").tolist() == [0]


@pytest.mark.long
def test_a_published_pattern_and_millions_of_spaces():
    backend = hugging_face.Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    for door in doors(tokenizer, SPACES):
        refused(door, "cannot divide")


@pytest.mark.parametrize(
    "content",
    [
        merging(continuing_subword_prefix="##"),
        word_level(normalizer={"type": "Precompiled", "precompiled_charsmap": "////AGFi"}),
        word_level(normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
        word_level(model={"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}),
        word_level(model={"type": "none"}),
    ],
)
def test_a_file_that_the_library_gives_up_on(content):
    refused(lambda: tokenizers.Tokenizer.from_json(json.dumps(content)), "not a Hugging Face tokenizer.json")


def of_an_id(id):
    """Files that name an id, each in another place."""
    vocab = {"a": 0, "<unk>": 1}
    yield word_level(model={"type": "WordLevel", "vocab": vocab | {"b": id}, "unk_token": "<unk>"})
    added = {"id": id, "content": "<x>", "single_word": False, "lstrip": False, "rstrip": False}
    yield word_level(added_tokens=[added | {"normalized": False, "special": True}])
    yield merging(vocab={"a": 0, "b": 1, "ab": id})
    yield word_level(post_processor={"type": "BertProcessing", "sep": ["a", id], "cls": ["a", 0]})
    special = {"a": {"id": "a", "ids": [id], "tokens": ["a"]}}
    single = [{"SpecialToken": {"id": "a", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    around = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}
    yield word_level(post_processor=around)


@pytest.mark.parametrize("id", [2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 10**100])
def test_ids_beyond_what_a_file_can_hold_are_refused_at_once(id):
    for content in of_an_id(id):
        began = time.monotonic()
        refused(lambda content=content: tokenizers.Tokenizer.from_json(json.dumps(content)), "names the id")
        assert time.monotonic() - began < 1


def test_ids_of_a_vocabulary_with_holes_are_read():
    content = word_level(model={"type": "WordLevel", "vocab": {"a": 0, "<unk>": 9000}, "unk_token": "<unk>"})
    assert tokenizers.Tokenizer.from_json(json.dumps(content)).vocab_size == 9001


@pytest.mark.parametrize("id", [2**31, 2**64])
def test_ids_of_vocab_json(tmp_path, id):
    symbols = json.loads(tokenizers.bytes_tokenizer().to_json())["model"]["vocab"]
    (tmp_path / "vocab.json").write_text(json.dumps(symbols | {"ab": id}))
    (tmp_path / "merges.txt").write_text("a b\n")
    refused(lambda: tokenizers.load_tokenizer(tmp_path), "names the id")


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "vocab.json", "special_tokens_map.json"]
)
@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 990 + "1" + "}" * 990, '{"a": 1' + "0" * 5000 + "}"])
def test_deep_json_and_enormous_numbers_of_any_file(tmp_path, name, text):
    tokenizers.bytes_tokenizer().save(tmp_path)
    if name == "vocab.json":
        (tmp_path / "tokenizer.json").unlink()
        (tmp_path / "merges.txt").write_text("")
    (tmp_path / name).write_text(text)
    refused(lambda: tokenizers.load_tokenizer(tmp_path))


def test_ids_that_cannot_be_written():
    backend = hugging_face.Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    backend.normalizer = normalizers.NFC()
    assert tokenizers.Tokenizer.from_json(backend.to_str()).decode(np.array([0])) == "a"
