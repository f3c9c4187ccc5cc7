"""The canonical ids of bytes: those of whole texts, of texts that end inside a character, of any bytes."""

import random

import pytest

from jaxlm import tokenizers
from jaxlm.decoding.bytes import _canonical
from jaxlm.decoding.bytes._canonical import CanonicalEncoder
from tests.decoding.bytes.small_models import merges_tokenizer
from tests.tokenizers.byte_kinds import kind

# The kinds whose ids spell any text.
SPELLING = [
    *("byte-level", "byte-level, spaced", "byte-level, by the normalizer", "whole words", "subwords"),
    *(
        "Llama, legacy",
        "Llama",
        "Llama, everywhere",
        "Llama, no space",
        "Gemma",
        "unigrams and bytes",
        "bytes",
    ),
]
TEXT = (
    "the cats' hats, naïve café 漢字 👩‍👩‍👧 12345\n\n  def f(self):\n        return it's\t zzz  <tool> end. "
)


def all_prefixes(encoder, data):
    """The ids of every prefix, from the beginning on."""
    paths, anchor = [], ()
    for prefix in encoder.prefixes(data):
        paths.append(None if prefix.ids is None else anchor + prefix.ids)
        anchor += (prefix.ids or ())[: prefix.num_fixed]
    return paths


@pytest.mark.parametrize("name", SPELLING)
def test_a_text_has_the_ids_that_the_tokenizer_gives_it(name):
    tokenizer, _ = kind(name)
    encoder = CanonicalEncoder(tokenizer)
    for text in ("", "the cat", TEXT, " two  spaces", "漢"):
        is_spaced = text.startswith(" ") and not encoder.table.prefixes_spaces
        data = (b"" if is_spaced or not text else encoder.table.prefix) + text.encode()
        assert encoder.encode(data) == tuple(tokenizer.encode(text).tolist())


@pytest.mark.parametrize("name", SPELLING)
def test_the_ids_of_every_prefix_spell_it(name):
    encoder = CanonicalEncoder(kind(name)[0])
    data = encoder.table.prefix + TEXT.encode()
    paths = all_prefixes(encoder, data)
    assert len(paths) == len(data)
    missing = [size for size, ids in enumerate(paths, start=1) if ids is None]
    # Behind Llama's old prefix alone there is no text to divide.
    assert missing == ([1] if name == "Llama, legacy" else [])
    assert all(ids is None or encoder.spelled(ids) == data[:size] for size, ids in enumerate(paths, start=1))


@pytest.mark.parametrize("name", ["byte-level", "whole words", "Llama", "unigrams and bytes"])
def test_any_bytes_have_ids(name):
    encoder, draw = CanonicalEncoder(kind(name)[0]), random.Random(0)
    for _ in range(50):
        data = (
            encoder.table.prefix + b"the" + draw.randbytes(draw.randint(1, 6)) + b" cat" + draw.randbytes(2)
        )
        ids = encoder.encode(data)
        assert ids is None or encoder.spelled(ids) == data
        assert ids is not None or name not in ("byte-level", "whole words")


def test_the_first_bytes_of_a_character_are_merged_as_inside_a_text():
    encoder = CanonicalEncoder(kind("byte-level")[0])
    data = "漢字 漢字 über".encode()
    nodes = {path[:size] for path in all_prefixes(encoder, data) for size in range(1, len(path) + 1)}
    whole = encoder.encode(data)
    assert all(whole[:size] in nodes for size in range(1, len(whole) + 1))


def test_special_tokens_in_a_text_are_plain_and_the_tokenizer_stays_as_it_is():
    tokenizer, _ = kind("byte-level")
    encoder = CanonicalEncoder(tokenizer)
    text = "a<|endoftext|>b"
    assert tokenizer.id("<|endoftext|>") not in encoder.encode(text.encode())
    assert encoder.spelled(encoder.encode(text.encode())) == text.encode()
    assert tokenizer.id("<|endoftext|>") in tokenizer.encode(text)


@pytest.mark.parametrize("name", ["byte-level", "whole words", "Llama", "Gemma", "unigrams and bytes"])
def test_anchors_change_no_ids(name, monkeypatch):
    encoder = CanonicalEncoder(kind(name)[0])
    data = encoder.table.prefix + (TEXT * 3).encode()
    monkeypatch.setattr(_canonical, "WINDOW", 10**9)
    whole = all_prefixes(encoder, data)
    monkeypatch.setattr(_canonical, "WINDOW", 64)
    assert sum(prefix.num_fixed > 0 for prefix in encoder.prefixes(data)) > 3
    assert all_prefixes(encoder, data) == whole


def test_what_the_tokenizer_changes_has_no_ids():
    encoder = CanonicalEncoder(kind("byte-level, composed")[0])
    assert encoder.encode("café".encode()) is not None
    assert encoder.encode("cafe\u0301".encode()) is None
    plain = CanonicalEncoder(merges_tokenizer())
    assert plain.encode(b"abz") is None and plain.encode(b"ab") == (3,)


def test_residues_are_their_letters():
    encoder = CanonicalEncoder(tokenizers.residue_tokenizer())
    assert encoder.spelled(encoder.encode(b"MKT")) == b"MKT"
    assert encoder.encode(b"mk\xff") is None
