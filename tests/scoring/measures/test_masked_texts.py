"""Which words the tokens of a text are of."""

import numpy as np
import pytest

from jaxlm import scoring, tokenizers

SPACELESS = [
    ("東京タワーへ go", ["東", "京", "タワー", "へ", "go"]),
    ("ภาษาง่าย no", ["ภ", "า", "ษ", "า", "ง่", "า", "ย", "no"]),
    ("らーめん ラーメン", ["らー", "め", "ん", "ラーメン"]),
    ("plain words", ["plain", "words"]),
]


@pytest.mark.parametrize("unit", ["auto", "pieces", "spaces"])
@pytest.mark.parametrize(("text", "words"), SPACELESS)
def test_scripts_without_spaces_have_words_in_every_unit(text, words, unit):
    tokenizer = tokenizers.bytes_tokenizer()
    if unit != "spaces":
        tokenizer = tokenizers.train_subwords(["abc"], vocab_size=262)
    numbers = scoring.word_numbers(tokenizer, text, np.ones(len(tokenizer.encode(text)), bool), unit)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    encoded = np.frombuffer(text.encode(), np.uint8)
    found = [bytes(part).decode().strip() for part in np.split(encoded, starts[1:])]
    assert [word for word in found if word] == words
