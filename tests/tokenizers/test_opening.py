import pytest

from jaxlm import tokenizers
from jaxlm.tokenizers import Tokenizer, encode_opened
from tests.tokenizers.test_sentence_pieces import KINDS


@pytest.mark.parametrize("text", ["the cat", "", "<s>the", "<bos>", "</s>"])
@pytest.mark.parametrize(("kind", "opening"), [("llama", [1]), ("gemma", [2]), ("t5", [])])
def test_what_opens_a_text_stands_in_front_and_nothing_behind(kind, opening, text):
    tokenizer = Tokenizer.from_json(KINDS[kind]().to_str())
    expected = [*opening, *tokenizer.encode(text)]
    assert encode_opened(tokenizer, text).tolist() == expected


def test_both_ends_of_our_own_kinds():
    tokenizer = tokenizers.bytes_tokenizer()
    assert encode_opened(tokenizer, "ab").tolist() == [tokenizer.specials.cls, 97, 98]
    assert encode_opened(tokenizer, "[CLS][CLS]").tolist() == [tokenizer.specials.cls] * 3


def test_a_file_that_puts_nothing_around_texts():
    tokenizer = tokenizers.train_instructions(["mov rax 1"], vocab_size=512)
    assert encode_opened(tokenizer, "mov").tolist() == tokenizer.encode("mov").tolist()
