import pytest

from jaxlm.tokenizers._settings import TokenizerSettings, read_settings
from tests.tokenizers.folders import listed, stored, write


def names(settings: TokenizerSettings):
    return [one.token.content for one in settings.reserved()]


def test_nothing_beside_a_tokenizer_says_nothing(tmp_path):
    assert read_settings(tmp_path) == TokenizerSettings({}, frozenset(), (), {}, (), None, None)


def test_every_file_is_read(tmp_path):
    further = {"additional_special_tokens": ["<x>", stored("<y>")]}
    write(
        tmp_path,
        {
            "config.json": {"model_type": "bert", "vocab_size": 12},
            "tokenizer_config.json": {"pad_token": stored("<p>"), "do_lower_case": None, "eos_token": None},
            "special_tokens_map.json": {"cls_token": "<c>"} | further,
            "added_tokens.json": {"<y>": 9, "word": 8},
        },
    )
    found = read_settings(tmp_path)
    assert found.roles == {"pad": "<p>", "cls": "<c>"} and found.denied == {"eos"}
    assert (found.class_name, found.family, found.rows) == ("BertTokenizer", "bert", 12)
    assert "do_lower_case" not in found.values
    assert [(one.token.content, one.token.special, one.id) for one in found.listed] == [
        ("word", False, 8),
        ("<y>", True, 9),
    ]
    assert names(found) == ["word", "<y>", "[UNK]", "[SEP]", "<p>", "<c>", "[MASK]", "<x>"]


def test_a_decoder_tells_all_tokens_and_their_sides(tmp_path):
    config = {
        "added_tokens_decoder": listed(5),
        "mask_token": "<e1>",
        "image_token": "<i>",
        "extra_token": "",
    }
    map_ = {"additional_special_tokens": ["<not>"]}
    write(tmp_path, {"tokenizer_config.json": config, "special_tokens_map.json": map_})
    found = read_settings(tmp_path)
    assert names(found) == ["[NEW]", "New", "<e1>", "<i>"] and [one.id for one in found.listed] == [5, 6, 7]
    new, word, sides = (one.token for one in found.listed)
    assert (new.special, new.normalized) == (True, False)
    assert (word.special, word.normalized, word.single_word) == (False, True, True)
    assert sides.lstrip and sides.rstrip


@pytest.mark.parametrize("empty", ["", {"content": ""}, {"content": None}, {}, 3, []])
def test_an_empty_name_is_no_name(tmp_path, empty):
    write(tmp_path, {"tokenizer_config.json": {"mask_token": empty, "additional_special_tokens": [empty]}})
    found = read_settings(tmp_path)
    assert found.roles == {} and found.denied == frozenset() and names(found) == []


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_one_line(tmp_path, name, content):
    write(tmp_path, {name: content})
    with pytest.raises(ValueError, match=name) as caught:
        read_settings(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_config_of_a_model_that_cannot_be_read_says_nothing(tmp_path):
    write(tmp_path, {"config.json": b"{"})
    assert read_settings(tmp_path).class_name is None


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
def test_half_a_surrogate_pair_is_refused_where_it_stands(tmp_path, name):
    (tmp_path / name).write_text('{"mask_token": "\\uD83D\\uDE00", "<x>": 9}')
    if name != "added_tokens.json":
        assert read_settings(tmp_path).roles == {"mask": "\N{GRINNING FACE}"}
    (tmp_path / name).write_text('{"mask_token": "\\uD83D", "\\udc00": 9}')
    with pytest.raises(ValueError, match=f"{name}: a text holds half of a surrogate pair"):
        read_settings(tmp_path)
