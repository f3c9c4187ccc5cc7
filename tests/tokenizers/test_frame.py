"""What opens and closes texts: one table over the tokenizers that are published."""

import pickle

import numpy as np
import pytest

from jaxlm import tokenizers
from jaxlm.tokenizers import Frame, Tokenizer, file_frame, text_frame
from tests.tokenizers.published import PUBLISHED, published, save_published
from tests.tokenizers.test_sentence_pieces import KINDS

END = "<|endoftext|>"
READERS = ("text", "score", "prompt", "harness", "prefix", "training")
# Opening and closing for each reader.
TABLE = {
    "GPT-2": ["", f"{END} {END}", "", "", f"{END} -", f"{END} {END}"],
    "Pythia": ["", f"{END} {END}", "", "", f"{END} -", f"{END} {END}"],
    "Llama": ["<s> -", "<s> </s>", "<s> -", "<s> -", "<s> -", "<s> </s>"],
    "Llama 3": [
        "<|begin_of_text|> -",
        "<|begin_of_text|> <|end_of_text|>",
        *["<|begin_of_text|> -"] * 3,
        "<|begin_of_text|> <|end_of_text|>",
    ],
    "Qwen2.5": ["", "<|im_end|> <|im_end|>", "", "", "<|im_end|> -", "<|im_end|> <|im_end|>"],
    "llm-jp": ["<s> -", "<s> </s>", "<s> -", "<s> -", "<s> -", "<s> </s>"],
    "BERT": ["[CLS] [SEP]", "[CLS] [SEP]", "[CLS] -", "[CLS] [SEP]", "[CLS] -", "[CLS] [SEP]"],
    "cls and sep alone": ["", "", "", "", "", "[CLS] [SEP]"],
}


def frame(tokenizer, text):
    """ "opening closing" as ids, `-` for nothing."""
    sides = [() if token == "-" else (tokenizer.backend.token_to_id(token),) for token in text.split()]
    return Frame(*sides)


@pytest.mark.parametrize("name", TABLE)
def test_the_table(tmp_path, name):
    tokenizer = published(name, tmp_path)
    for reader, expected in zip(READERS, TABLE[name], strict=True):
        assert text_frame(tokenizer, reader) == frame(tokenizer, expected), reader


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_puts_what_transformers_puts(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(save_published(name, tmp_path))
    tokenizer = tokenizers.load_tokenizer(tmp_path)
    for text in ("", "abc", "a b", *PUBLISHED[name][0]):
        expected = file_frame(tokenizer).around(tokenizer.encode(text)).tolist()
        assert theirs(text)["input_ids"] == expected, text


def test_what_a_model_was_trained_with_comes_first(tmp_path):
    tokenizer = published("llm-jp", tmp_path)
    trained = Frame((5,), (6, 4))
    found = {reader: text_frame(tokenizer, reader, trained) for reader in READERS}
    assert found["text"] == found["score"] == found["training"] == trained
    assert found["prompt"] == found["harness"] == Frame((5,))
    assert found["prefix"] == Frame((1,))
    assert {text_frame(tokenizer, reader, Frame()) for reader in READERS[:4]} == {Frame()}
    bytes_alone = tokenizers.bytes_tokenizer()
    assert text_frame(bytes_alone, "prefix", Frame((258,))) == Frame((258,))
    assert text_frame(bytes_alone, "prefix", Frame()) == Frame()


@pytest.mark.parametrize(("kind", "opening"), [("llama", (1,)), ("gemma", (2,)), ("t5", ())])
def test_files_of_sentence_pieces(kind, opening):
    tokenizer = Tokenizer.from_json(KINDS[kind]().to_str())
    assert text_frame(tokenizer, "prompt") == Frame(opening)


def test_our_own_kinds():
    own = tokenizers.bytes_tokenizer()
    cls, sep = own.specials.cls, own.specials.sep
    assert file_frame(own) == Frame((cls,), (sep,))
    assert text_frame(own, "prompt").around(own.encode("[CLS]b")).tolist() == [cls, cls, 98]
    traces = tokenizers.train_instructions(["mov rax 1"], vocab_size=512)
    assert file_frame(traces) == Frame() and text_frame(traces, "score") == Frame()
    assert text_frame(traces, "training") == Frame((traces.specials.cls,), (traces.specials.sep,))


def test_a_vocabulary_without_the_usual_letters_still_tells(tmp_path):
    """No probe may be read as nothing, and then as what closes a text."""
    import tokenizers as hf

    backend = hf.Tokenizer(hf.models.BPE({"<s>": 0, "</s>": 1, "\u3042": 2}, []))
    backend.add_special_tokens(["<s>", "</s>"])
    template = hf.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    backend.post_processor = template
    tokenizer = Tokenizer.from_json(backend.to_str())
    assert file_frame(tokenizer) == Frame((0,), (1,))


def test_a_frame_stands_around_ids():
    ids = Frame((1, 2), (3,)).around(np.array([7, 8]))
    assert ids.tolist() == [1, 2, 7, 8, 3] and ids.dtype == np.int32


def test_a_role_that_is_null_is_none_and_stays_so(tmp_path):
    tokenizer = published("Qwen2.5", tmp_path)
    assert tokenizer.specials.bos is None and tokenizer.backend.token_to_id(END) is not None
    copies = [pickle.loads(pickle.dumps(tokenizer)), tokenizers.with_frame(tokenizer, Frame((0,)))]
    tokenizer.save(tmp_path / "tokenizer.json")
    assert {one.specials for one in [*copies, tokenizers.load_tokenizer(tmp_path)]} == {tokenizer.specials}
