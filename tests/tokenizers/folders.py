"""Folders of tokenizer files, written from their contents, and transformers' ids of the same folder."""

import json
import random
import tempfile
from pathlib import Path

import pytest
from tokenizers import pre_tokenizers

from jaxlm import tokenizers

SYMBOLS = sorted(pre_tokenizers.ByteLevel.alphabet())
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MERGES = "#version: 0.2\nl o\nlo w\nĠ low\n# #\n"
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "low", "##er", "!", "漢", "e", "##e", "new"]
_BITS = [
    *("low", "lower", "LOW", "Low", "new", "New", "the", "The", "é", "e\u0301", "漢", "漢low", "12", "'s"),
    *(" ", " ", "  ", "\n", "\t", "\u2028", "\x85", "\u3000", "\x00", "🤖", "!", "##"),
    *(
        "[NEW]",
        "<x>",
        "<e1>",
        "<e1> ",
        "[MASK]",
        " <mask>",
        "<s>",
        "</s>",
        "<unk>",
        "[UNK]",
        "[CLS]",
        "[PAD]",
    ),
    "<|endoftext|>",
]
_draw = random.Random(0)
TEXTS = ["", *("".join(_draw.choices(_BITS, k=_draw.randint(1, 9))) for _ in range(199))]


def write(folder, files):
    """Puts the files into a folder: a string as it is, anything else as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes | str) else json.dumps(content)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def byte_vocab(*extra):
    return {token: id for id, token in enumerate([*SYMBOLS, "lo", "low", "Ġlow", "##", *extra])}


def stored(content, **flags):
    """A token as files keep it."""
    plain = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
    return {"__type": "AddedToken", "content": content, **plain, **flags}


def listed(first):
    """What added_tokens_decoder says of three tokens of each kind, from an id on."""
    token = {key: value for key, value in stored("").items() if key != "__type"}
    word = {"content": "New", "special": False, "normalized": True, "single_word": True}
    sides = {"content": "<e1>", "lstrip": True, "rstrip": True}
    kinds = [{"content": "[NEW]"}, word, sides]
    return {str(first + place): token | kind for place, kind in enumerate(kinds)}


def differences(files, texts=TEXTS):
    """The first text whose ids are not those of transformers, their ids and ours; None: no such text."""
    transformers = pytest.importorskip("transformers")
    with tempfile.TemporaryDirectory() as path:
        folder = write(Path(path), files)
        theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), tokenizers.load_tokenizer(folder)
        for specials in (True, False):
            expected = theirs(texts, add_special_tokens=specials)["input_ids"]
            found = ours.encode_batch(texts, add_specials=specials)
            for text, one, other in zip(texts, expected, found, strict=True):
                if one != other.tolist():
                    return text, one, other.tolist()
    return None
