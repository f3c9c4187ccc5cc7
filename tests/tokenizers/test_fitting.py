import json

import pytest

from jaxlm import tokenizers
from jaxlm.tokenizers import Tokenizer, TokenizerConfig, fit_tokenizer, train_tokenizer


@pytest.fixture
def with_extra():
    """The bytes tokenizer with three more tokens, ids 260 to 262."""
    content = json.loads(tokenizers.bytes_tokenizer().to_json())
    token = content["added_tokens"][0]
    content["added_tokens"] += [token | {"id": 260 + n, "content": f"<image{n}>"} for n in range(3)]
    return Tokenizer.from_json(json.dumps(content))


@pytest.mark.parametrize("rows", [263, 264, 50_000])
def test_a_tokenizer_with_a_row_for_every_id_is_left_as_it_is(with_extra, rows):
    assert fit_tokenizer(with_extra, rows) == (with_extra, ())


def test_added_tokens_without_a_row_are_dropped(with_extra):
    fitted, dropped = fit_tokenizer(with_extra, 261)
    assert dropped == ("<image1>", "<image2>") and fitted.vocab_size == 261
    assert fitted.specials == with_extra.specials and fitted.id("<image0>") == 260
    assert fitted.encode("a<image0><image1>").tolist() == [97, 260, *b"<image1>"]


def test_tokens_of_the_vocabulary_are_not_dropped(with_extra):
    with pytest.raises(
        ValueError, match="tokenizer has 263 ids and the model 259 rows; use the tokenizer that"
    ):
        fit_tokenizer(with_extra, 259)


def test_tokens_that_play_a_role_are_not_dropped(with_extra):
    masked = Tokenizer.from_json(with_extra.to_json(), {"mask": "<image2>"})
    with pytest.raises(ValueError, match="does not match the embedding"):
        fit_tokenizer(masked, 262)


def test_a_config_that_names_a_tokenizer_and_its_rows(with_extra, tmp_path):
    with_extra.save(tmp_path / "tokenizer.json")
    config = TokenizerConfig(path=str(tmp_path), rows=261)
    assert train_tokenizer([], config, "bytes").vocab_size == 261
