import json

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from jaxlm import tokenizers

BERT = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "low", "##er", "##est", "!", "漢"]


def write_gpt2(folder, extra=("<|endoftext|>",)):
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {symbol: id for id, symbol in enumerate([*symbols, "lo", "low", "Ġlow", *extra])}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nl o\nlo w\nĠ low\n", encoding="utf-8")
    return vocab


def test_missing_files_are_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tokenizer at .*absent: no such file or folder"):
        tokenizers.load_tokenizer(tmp_path / "absent")
    with pytest.raises(
        FileNotFoundError, match=r"no tokenizer in .*: expected tokenizer\.json, vocab\.json with"
    ):
        tokenizers.load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a Hugging Face tokenizer.json"),
        (b'{"version": "1.0", "mod', "not a Hugging Face tokenizer.json"),
        (b"[1, 2]", 'expected an object with a "model"'),
        (b'{"model": {"type": "Unheard"}}', "not a Hugging Face tokenizer.json"),
        (b"\xff\xfe{}", "not UTF-8 at byte 0"),
    ],
)
def test_broken_files_are_one_line(tmp_path, content, message):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        tokenizers.load_tokenizer(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "tokenizer.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_broken_settings_are_one_line(tmp_path, content):
    tokenizers.bytes_tokenizer().save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: "):
        tokenizers.load_tokenizer(tmp_path)


def test_roles_come_from_the_settings_then_from_names(tmp_path):
    tokenizers.bytes_tokenizer().save(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text(
        '{"pad_token": "[CLS]", "eos_token": {"content": "[SEP]"}}'
    )
    (tmp_path / "tokenizer_config.json").write_text(
        '{"pad_token": "[SEP]", "eos_token": null, "bos_token": "no"}'
    )
    expected = tokenizers.Specials(pad=257, eos=257, sep=257, cls=258, mask=259)
    assert tokenizers.load_tokenizer(tmp_path).specials == expected


def test_gpt2_folder(tmp_path):
    vocab = write_gpt2(tmp_path)
    tokenizer = tokenizers.load_tokenizer(tmp_path)
    end = vocab["<|endoftext|>"]
    assert tokenizer.specials == tokenizers.Specials(bos=end, eos=end)
    assert tokenizer.special_ids == (end,)
    text = "low slow é<|endoftext|>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert [tokenizer.token(id) for id in tokenizer.encode("low low")] == ["low", " low"]
    assert tokenizer.id(" low") == tokenizer.id("Ġlow") == vocab["Ġlow"]
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    assert theirs(text)["input_ids"] == tokenizer.encode(text).tolist()


def test_roberta_folder_wraps_its_text(tmp_path):
    vocab = write_gpt2(tmp_path, extra=("<s>", "</s>", "<pad>", "<mask>"))
    names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>"}
    mask = {"content": "<mask>", "lstrip": True}
    config = {f"{role}_token": name for role, name in names.items()} | {"mask_token": mask}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = tokenizers.load_tokenizer(tmp_path)
    assert tokenizer.specials._asdict() | {role: vocab[name] for role, name in names.items()} == (
        tokenizer.specials._asdict()
    )
    ids = tokenizer.encode("low <mask>", add_specials=True)
    assert [tokenizer.token(id) for id in ids] == ["<s>", "low", "<mask>", "</s>"]


def test_other_vocabularies_in_json_are_refused(tmp_path):
    write_gpt2(tmp_path, extra=("low</w>",))
    with pytest.raises(ValueError, match=r"not over GPT-2's bytes"):
        tokenizers.load_tokenizer(tmp_path)
    write_gpt2(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nx unheard\n")
    with pytest.raises(ValueError, match=r"vocab\.json and merges\.txt don't fit together"):
        tokenizers.load_tokenizer(tmp_path)


@pytest.mark.parametrize("do_lower_case", [None, True, False])
def test_bert_folder(tmp_path, do_lower_case):
    (tmp_path / "vocab.txt").write_text("\n".join(BERT) + "\n", encoding="utf-8")
    if do_lower_case is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": do_lower_case}))
    tokenizer = tokenizers.load_tokenizer(tmp_path)
    assert tokenizer.specials == tokenizers.Specials(pad=0, unk=2, cls=3, sep=4, mask=5)
    assert tokenizer.special_ids == (0, 2, 3, 4, 5)
    assert tokenizer.decode(tokenizer.encode("the lowest 漢 [MASK]")) == "the lowest 漢 [MASK]"
    transformers = pytest.importorskip("transformers")
    lower = True if do_lower_case is None else do_lower_case
    theirs = transformers.BertTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=lower)
    for text in ("The LOWER the lowest!", "the [MASK]漢lower", "thé"):
        assert theirs(text)["input_ids"] == tokenizer.encode(text, add_specials=True).tolist()


def test_a_cased_bert_vocabulary_keeps_case(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*BERT, "The"]), encoding="utf-8")
    np.testing.assert_array_equal(tokenizers.load_tokenizer(tmp_path).encode("The the"), [12, 6])


def test_a_wordpiece_needs_its_unknown_token(tmp_path):
    (tmp_path / "vocab.txt").write_text("the\nlow\n")
    with pytest.raises(ValueError, match=r"vocab\.txt has no unknown token"):
        tokenizers.load_tokenizer(tmp_path)


def test_esm_folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(tokenizers.RESIDUES))
    assert tokenizers.load_tokenizer(tmp_path) == tokenizers.residue_tokenizer()
    transformers = pytest.importorskip("transformers")
    theirs = transformers.EsmTokenizer(str(tmp_path / "vocab.txt"))
    ids = tokenizers.load_tokenizer(tmp_path).encode("MKTAYI<mask>XBUZO.-", add_specials=True)
    assert theirs("MKTAYI<mask>XBUZO.-")["input_ids"] == ids.tolist()
