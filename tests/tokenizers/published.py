"""Small tokenizers with the templates and roles that published ones have; texts are of a few letters."""

import json

import tokenizers as hf
from tokenizers import decoders, models, pre_tokenizers, processors

from jaxlm import tokenizers

LETTERS = "abcdefgh AB"


def backend(specials, template=None, *, byte_level=False):
    """A letter an id behind the specials; `template` as in `TemplateProcessing`."""
    vocab = {token: id for id, token in enumerate([*specials, "?", *dict.fromkeys(LETTERS)])}
    made = hf.Tokenizer(models.WordLevel(vocab, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens([hf.AddedToken(token, special=True, normalized=False) for token in specials])
    steps = [processors.ByteLevel(trim_offsets=False)] if byte_level else []
    if template is not None:
        named = [(token, vocab[token]) for token in specials if token in template.split()]
        steps.append(processors.TemplateProcessing(single=template, special_tokens=named))
    if steps:
        made.post_processor = processors.Sequence(steps) if len(steps) > 1 else steps[0]
    return made


# Specials, what the file puts around a text, and the roles of tokenizer_config.json.
PUBLISHED = {
    "GPT-2": (["<|endoftext|>"], None, {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}, True),
    "Pythia": (
        ["<|endoftext|>", "<|padding|>"],
        None,
        {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
        True,
    ),
    "Llama": (["<unk>", "<s>", "</s>"], "<s> $A", {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}, False),
    "Llama 3": (
        ["<|begin_of_text|>", "<|end_of_text|>"],
        "<|begin_of_text|> $A",
        {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>"},
        True,
    ),
    "Qwen2.5": (
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        None,
        {"bos": None, "eos": "<|im_end|>", "pad": "<|endoftext|>"},
        True,
    ),
    "llm-jp": (
        ["<unk>", "<s>", "</s>", "<MASK|LLM-jp>", "<PAD|LLM-jp>", "<CLS|LLM-jp>", "<SEP|LLM-jp>"],
        "<s> $A",
        {
            "bos": "<s>",
            "eos": "</s>",
            "unk": "<unk>",
            "cls": "<CLS|LLM-jp>",
            "sep": "<SEP|LLM-jp>",
            "pad": "<PAD|LLM-jp>",
            "mask": "<MASK|LLM-jp>",
        },
        False,
    ),
    "BERT": (
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        "[CLS] $A [SEP]",
        {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"},
        False,
    ),
    "cls and sep alone": (["[CLS]", "[SEP]"], None, {"cls": "[CLS]", "sep": "[SEP]"}, False),
}


def save_published(name, folder):
    """Writes tokenizer.json and tokenizer_config.json as such a model's folder has them."""
    specials, template, roles, byte_level = PUBLISHED[name]
    folder.mkdir(parents=True, exist_ok=True)
    backend(specials, template, byte_level=byte_level).save(str(folder / "tokenizer.json"))
    settings = {f"{role}_token": token for role, token in roles.items()}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def published(name, folder):
    """Returns it, opened from a folder."""
    return tokenizers.load_tokenizer(save_published(name, folder / name.replace(" ", "-")))
