"""T5's and Llama's model files: by hand, and against SentencePiece itself."""

import json
import random

import pytest

from jaxlm import tokenizers
from tests.tokenizers.spm import BYTE, CONTROL, OPENING, UNKNOWN, UNUSED, USER_DEFINED, model_file, number

T5 = [
    *(("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN)),
    *(("▁", -5.0), ("▁a", -1.0), ("b", -2.0), ("▁ab", -4.0)),
]
BYTES = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
MERGED = [("ab", -1.0), ("▁a", -2.0), ("bc", -3.0), ("▁", -4.0), ("a", -5.0), ("b", -6.0), ("c", -7.0)]
LLAMA = [*OPENING, *BYTES, *MERGED]


def t5(folder, pieces=T5, config=None):
    (folder / "spiece.model").write_bytes(model_file(pieces))
    (folder / "tokenizer_config.json").write_text(json.dumps(config or {}))
    return tokenizers.load_tokenizer(folder)


def llama(folder, config=None, **options):
    options = {"model": 2, "trainer": number(35, 1), "normalizer": number(4, 0), "pieces": LLAMA} | options
    (folder / "tokenizer.model").write_bytes(model_file(**options))
    (folder / "tokenizer_config.json").write_text(json.dumps(config or {}))
    return tokenizers.load_tokenizer(folder)


def test_t5_by_hand(tmp_path):
    found = t5(tmp_path, config={"extra_ids": 3})
    assert found.encode("ab  b", add_specials=True).tolist() == [4, 5, 3, 5, 1]
    assert found.encode("<extra_id_0> x").tolist() == [9, 3, 2] and tokenizers.sentinel_ids(found) == (
        9,
        8,
        7,
    )
    assert found.decode([4, 5, 4]) == "ab a" and found.specials.pad == 0
    assert t5(tmp_path).vocab_size == len(T5) + 100
    assert t5(tmp_path, [*T5, ("zz", 0.0, UNUSED)]).encode("zz").tolist() == [3, 2]


def test_llama_by_hand(tmp_path):
    found = llama(tmp_path)
    ids = {text: id for id, (text, *_) in enumerate(LLAMA)}
    # "ab" is merged before "▁a", and then "bc" is gone.
    assert found.encode("abc", add_specials=True).tolist() == [1, ids["▁"], ids["ab"], ids["c"]]
    assert found.encode(" a").tolist() == [ids["▁"], ids["▁a"]]
    assert found.encode("é").tolist() == [ids["▁"], ids["<0xC3>"], ids["<0xA9>"]]
    assert found.decode([ids["▁a"], ids["▁a"]]) == "a a" and found.decode(found.encode(" a")) == " a"
    ends = llama(tmp_path, {"add_bos_token": False, "add_eos_token": True}).encode("c", add_specials=True)
    assert ends.tolist() == [ids["▁"], ids["c"], 2]
    first = llama(tmp_path, {"legacy": False}).encode("a</s>a").tolist()
    assert first == [ids["▁a"], 2, ids["a"]]


def test_tokens_that_were_added_later_have_their_ids(tmp_path):
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": len(LLAMA)}))
    config = {"added_tokens_decoder": {"1": {"content": "<s>", "special": True}}}
    assert llama(tmp_path, config).encode("<pad>").tolist() == [len(LLAMA)]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": 5000}))
    with pytest.raises(ValueError, match=r"'<pad>' would have id 266 .* said to have 5000; AutoTokenizer"):
        llama(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pieces": [*LLAMA, ("x", 0.0, USER_DEFINED)]}, "which is not supported; AutoTokenizer"),
        ({"pieces": [*LLAMA, ("x", 0.0, UNUSED)]}, "which is not supported; AutoTokenizer"),
        ({"model": 4}, "tokenizer.model is no SentencePiece model .* 'char'"),
    ],
)
def test_what_is_not_read_says_the_way_out(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        llama(tmp_path, **options)


@pytest.mark.parametrize("count", [-1, "3", True, 10**9])
def test_a_wrong_number_of_sentinels_is_a_line(tmp_path, count):
    with pytest.raises(ValueError, match="extra_ids is the number of sentinels"):
        t5(tmp_path, config={"extra_ids": count})


TRAINED = {
    "spiece": {"vocab_size": 90},
    "spiece, as it is": {"vocab_size": 90, "normalization_rule_name": "identity", "add_dummy_prefix": False},
    "spiece, a user's": {"vocab_size": 90, "user_defined_symbols": ["<b>", "at"]},
    "spiece, bytes": {"vocab_size": 400, "byte_fallback": True},
    "tokenizer": {"vocab_size": 400, "model_type": "bpe", "byte_fallback": True, "split_digits": True}
    | {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "tokenizer, no bytes": {"vocab_size": 110, "model_type": "bpe"},
    "tokenizer, a user's": {"vocab_size": 400, "model_type": "bpe", "byte_fallback": True}
    | {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    | {"user_defined_symbols": ["▁▁", "<b>", "\n"], "add_dummy_prefix": False},
}
TEXTS = [
    *("the cat sat on the mat", " two  spaces   three ", "", " ", "hats.\nThat!", "new 1234 12", "漢字 é"),
    *("e\u0301", "ﬁ ½ \uff34\uff48e", "tattat hathat", "<b>the</b>", "a" * 40, "🤖the", "cat\t\tcat"),
]


@pytest.mark.parametrize("kind", TRAINED)
def test_ids_are_those_of_sentencepiece(tmp_path, kind):
    sentencepiece = pytest.importorskip("sentencepiece")
    draw = random.Random(0)
    words = "the cat sat on a mat with hats and rats that ate fat oats in hot hats 12 345 ? ! ."
    name = kind.partition(",")[0]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(draw.choices(words.split(), k=6)) for _ in range(200)),
        model_prefix=str(tmp_path / name),
        hard_vocab_limit=False,
        minloglevel=2,
        **TRAINED[kind],
    )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{name}.model"))
    ours = tokenizers.load_tokenizer(tmp_path)
    for text in TEXTS:
        assert ours.encode(text).tolist() == theirs.encode(text), text
    for text in ("the cat", " that   hat"):
        assert ours.decode(theirs.encode(text)) == theirs.decode(theirs.encode(text))
