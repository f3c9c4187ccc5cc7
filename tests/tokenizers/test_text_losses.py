import pytest
import tokenizers as hf
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from jaxlm import tokenizers
from tests.tokenizers.byte_kinds import KINDS, kind

MARK = "'▁', which stands for a space"
SINGLE = "white space but for single spaces between words"
LOSSES = dict.fromkeys(KINDS, (MARK,)) | {
    "byte-level": (),
    "byte-level, spaced": ("text behind an added token, which gets a space in front",),
    "byte-level, composed": ("what NFC changes",),
    "byte-level, by the normalizer": (),
    "whole words": (),
    "unigrams and bytes": (MARK, "names of bytes such as '<0x41>', which become the byte"),
    "unigrams of words": (MARK, SINGLE),
    "word pieces": (SINGLE, "words that begin with '##'"),
    "words": (SINGLE,),
    "instructions": (SINGLE,),
    "subwords": (),
    "bytes": (),
}
SYMBOLS = {symbol: id for id, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


@pytest.mark.parametrize("name", KINDS)
def test_losses_of_each_kind(name):
    assert tokenizers.token_bytes(kind(name)[0]).losses == LOSSES[name]


def losses(text=None, *, model=None, added=(), **parts):
    """What is said of a tokenizer, and the bytes that the ids of a text spell."""
    backend = hf.Tokenizer(model or models.BPE(SYMBOLS, []))
    usual = {"pre_tokenizer": pre_tokenizers.ByteLevel(False), "decoder": decoders.ByteLevel()}
    for name, part in (usual | parts).items():
        setattr(backend, name, part)
    backend.add_tokens(list(added))
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    found = tokenizers.token_bytes(tokenizer)
    ids = [] if text is None else tokenizer.encode(text)
    return found.losses, b"".join(found.values[id] for id in ids)


def cuts(*steps, spaced=False):
    return {
        "pre_tokenizer": pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(spaced, use_regex=False)])
    }


@pytest.mark.parametrize(
    ("parts", "text", "spelled", "said"),
    [
        (cuts(pre_tokenizers.WhitespaceSplit()), "a b\n", b"ab", "white space"),
        (cuts(pre_tokenizers.WhitespaceSplit(), spaced=True), " a \nb ", b" a b", SINGLE),
        (cuts(pre_tokenizers.CharDelimiterSplit(" ")), "a b", b"ab", "white space"),
        (cuts(pre_tokenizers.CharDelimiterSplit("b")), "abc", b"ac", "'b', which is left out"),
        (cuts(pre_tokenizers.Punctuation("removed")), "a,b", b"ab", "punctuation, which is left out"),
        (cuts(pre_tokenizers.Split(Regex("[ab]"), "removed")), "abc", b"c", "what Split leaves out"),
        (
            cuts(pre_tokenizers.Split(Regex(r"\S"), "removed", invert=True)),
            "a b",
            b"ab",
            "what Split leaves out",
        ),
        (
            cuts(pre_tokenizers.Digits(individual_digits=True), spaced=True),
            "a12",
            b" a 1 2",
            "what Digits divides, each part of which gets a space in front",
        ),
        (cuts(pre_tokenizers.UnicodeScripts()), " a b", b"a b", "what UnicodeScripts leaves out"),
        ({"normalizer": normalizers.Lowercase()}, "aB", b"ab", "what Lowercase changes"),
        ({"normalizer": normalizers.Replace("a", "b")}, "a", b"b", "what Replace changes"),
        (
            {"added": [hf.AddedToken("<x>", lstrip=True)]},
            "a  <x>b",
            b"a<x>b",
            "white space beside added tokens",
        ),
        (
            {"model": models.BPE({"a": 0, "b": 1}, []), "pre_tokenizer": None, "decoder": decoders.Fuse()},
            "aéb",
            b"ab",
            "characters that no piece has, which are left out",
        ),
        (
            {"model": models.BPE({symbol: id for symbol, id in SYMBOLS.items() if symbol != "Ã"}, [])},
            "aé",
            b"a\xa9",
            "characters that no piece has, which are left out",
        ),
    ],
)
def test_what_is_lost_is_said(parts, text, spelled, said):
    assert losses(text, **parts) == ((said,), spelled)


def test_bytes_that_no_text_has_are_not_missed():
    never = {"À", "Á", *"õö÷øùúûüýþÿ"}
    model = models.BPE({symbol: id for symbol, id in SYMBOLS.items() if symbol not in never}, [])
    assert losses("é", model=model) == ((), "é".encode())


def test_names_of_bytes_that_are_whole_words():
    pieces = {f"<0x{byte:02X}>": byte for byte in range(256)}
    model = models.BPE(pieces, [], byte_fallback=True, ignore_merges=True)
    parts = {"pre_tokenizer": None, "decoder": decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])}
    said = ("names of bytes such as '<0x41>', which become the byte",)
    assert losses("<0x41>", model=model, **parts) == (said, b"A")
    model = models.BPE(pieces, [], byte_fallback=True)
    assert losses("<0x41>", model=model, **parts) == ((), b"<0x41>")
