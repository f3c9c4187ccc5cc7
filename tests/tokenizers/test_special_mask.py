"""The mask of special ids against the tokenizer's own list of them."""

import numpy as np
import pytest

from jaxlm import tokenizers

BYTES = tokenizers.bytes_tokenizer()  # 256 bytes and 4 specials behind them


@pytest.mark.parametrize(
    ("vocab_size", "expected"),
    [
        (None, {256, 257, 258, 259}),
        (260, {256, 257, 258, 259}),
        (263, {256, 257, 258, 259, 260, 261, 262}),  # a model with rows to spare
        (258, {256, 257}),  # a model without the last specials
    ],
)
def test_special_are_the_tokenizers_and_those_beyond_it(vocab_size, expected):
    mask = tokenizers.special_mask(BYTES, vocab_size)
    assert mask.dtype == bool and len(mask) == (vocab_size or 260)
    assert set(np.flatnonzero(mask).tolist()) == expected


def test_a_vocabulary_without_specials_has_none():
    tokenizer = tokenizers.Tokenizer.from_json(
        '{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0,"b":1},"unk_token":"a"}}'
    )
    assert tokenizers.special_mask(tokenizer).tolist() == [id in tokenizer.special_ids for id in (0, 1)]
