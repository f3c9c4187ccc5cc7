"""Sentinels behind a vocabulary: the ids before them, the roles and the file stay what they were."""

import numpy as np
import pytest

from jaxlm import tokenizers


@pytest.mark.parametrize("kind", ["bytes", "subwords"])
def test_they_are_added_behind_the_other_ids(kind, tmp_path):
    texts = ["the cat sat on the mat"] * 3
    plain = tokenizers.train_tokenizer(texts, tokenizers.TokenizerConfig(kind=kind, vocab_size=300), kind)
    config = tokenizers.TokenizerConfig(kind=kind, vocab_size=300, sentinels=3)
    found = tokenizers.train_tokenizer(texts, config, kind)
    ids = tokenizers.sentinel_ids(found)
    assert ids == tuple(range(plain.vocab_size, plain.vocab_size + 3)) and found.vocab_size == ids[-1] + 1
    assert tokenizers.sentinel_ids(plain) == () and found.specials == plain.specials
    assert set(ids) < set(found.special_ids)
    text = "the cat<extra_id_1> on"
    expected = [*plain.encode("the cat"), ids[1], *plain.encode(" on")]
    np.testing.assert_array_equal(found.encode(text), expected)
    assert found.decode(found.encode(text)) == text
    found.save(tmp_path / "tokenizer.json")
    again = tokenizers.load_tokenizer(tmp_path)
    assert again == found and tokenizers.sentinel_ids(again) == ids


def test_those_that_are_there_stay():
    once = tokenizers.with_sentinels(tokenizers.bytes_tokenizer(), 2)
    assert tokenizers.sentinel_ids(tokenizers.with_sentinels(once, 3)) == (260, 261, 262)


def test_refusals():
    with pytest.raises(ValueError, match="got residues"):
        tokenizers.with_sentinels(tokenizers.residue_tokenizer(), 1)
    with pytest.raises(ValueError, match="got 2 with kind='instructions'"):
        tokenizers.TokenizerConfig(kind="instructions", sentinels=2)
    with pytest.raises(ValueError, match="got -1"):
        tokenizers.TokenizerConfig(sentinels=-1)
