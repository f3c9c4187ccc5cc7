import json

import pytest

from jaxlm.tokenizers._classes import (
    FAMILY_OF_CLASS,
    PLAIN_CLASSES,
    UNREADABLE_CLASSES,
    check_readable,
    class_name,
    tokenizer_family,
)
from tests.tokenizers.folders import MERGES, ROBERTA, byte_vocab, write

NAMES = (
    None,
    *PLAIN_CLASSES[::3],
    *FAMILY_OF_CLASS,
    "BertTokenizerFast",
    "OurOwnTokenizer",
    "OurOwnTokenizerFast",
)
TYPES = ("roberta", "modernbert", "gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "bart")


@pytest.mark.parametrize("kind", TYPES)
def test_the_class_of_a_folder_is_the_one_that_transformers_takes(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    model = {"type": "BPE", "vocab": byte_vocab(*ROBERTA, "<|endoftext|>"), "merges": []}
    write(tmp_path, {"tokenizer.json": {"version": "1.0", "added_tokens": [], "model": model}})
    write(tmp_path, {"config.json": {"model_type": kind}, "merges.txt": MERGES})
    for name in ("GPT2Tokenizer", "RobertaTokenizerFast", "PreTrainedTokenizerFast", "OurOwnTokenizer", None):
        config = {"tokenizer_class": name} if name else {}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        theirs = type(transformers.AutoTokenizer.from_pretrained(tmp_path)).__name__
        assert tokenizer_family(class_name(config, {"model_type": kind})) == tokenizer_family(theirs), (
            kind,
            name,
            theirs,
        )


def test_every_class_is_either_read_or_refused():
    assert not UNREADABLE_CLASSES.keys() & {*FAMILY_OF_CLASS, *PLAIN_CLASSES}
    for name in NAMES:
        check_readable(name, "take another")
    for name in UNREADABLE_CLASSES:
        with pytest.raises(ValueError, match=f"tokenizer_class='{name}' .*; take another"):
            check_readable(name, "take another")
