import json

import pytest

from jaxlm.tokenizers._classes import FOREIGN, PLAIN_CLASSES, WAY_OF_CLASS, check_readable, class_name, way_of
from tests.tokenizers.folders import MERGES, ROBERTA, byte_vocab, write

NAMES = (
    None,
    *PLAIN_CLASSES[::3],
    *WAY_OF_CLASS,
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
        assert way_of(class_name(config, {"model_type": kind})) == way_of(theirs), (kind, name, theirs)


def test_every_class_is_either_read_or_refused():
    assert not FOREIGN.keys() & {*WAY_OF_CLASS, *PLAIN_CLASSES}
    for name in NAMES:
        check_readable(name, "take another")
    for name in FOREIGN:
        with pytest.raises(ValueError, match=f"tokenizer_class='{name}' .*; take another"):
            check_readable(name, "take another")
