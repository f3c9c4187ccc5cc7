"""A small tokenizer of each kind whose tokens have bytes, and by hand the bytes that a text's ids spell."""

import functools
import json
import re

import tokenizers as hf
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from jaxlm import tokenizers

CORPUS = [
    "the cat sat on the mat; the cats' hats, that hat!",
    "  new   lines\nand\ttabs\r\n\n  12345 naïve café café 漢字 漢字 かな 👩‍👩‍👧 👩‍👩‍👧 über",
    "def f(self):\n        return self.x  # a comment",
] * 3
# White space of Unicode, at which the library divides words.
WHITE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]
GPT4 = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_DECODER = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]


def as_it_is(text):
    return text


def spaced(text):
    """With a space in front, whatever the text begins with."""
    return " " + text if text else ""


def spaced_once(text):
    """With a space in front of a text that does not begin with one."""
    return text if text.startswith(" ") or not text else " " + text


def words(text):
    """A space and a word, for each word."""
    return "".join(" " + word for word in WHITE.split(text) if word)


def composed(text):
    # Not Python's own: each knows the characters of its version of Unicode.
    return normalizers.NFC().normalize_str(text)


def _byte_level(cut, *, normalizer=None, **options):
    """Merges of bytes, with a special token and two plain ones."""
    backend = hf.Tokenizer(models.BPE(**options))
    backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizer, cut, decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_special_tokens(["<|endoftext|>"])
    backend.add_tokens([hf.AddedToken(text, normalized=False) for text in ("<tool>", "naïve ▁Ġ")])
    return backend


def _ignore_merges():
    """As Llama 3's, with words whole that no merges make."""
    cut = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(GPT4), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    data = json.loads(_byte_level(cut, ignore_merges=True).to_str())
    vocab = data["model"]["vocab"]
    data["added_tokens"] = []
    data["model"]["vocab"] = vocab | {"Ġzzz": len(vocab), "zzz": 1 + len(vocab), "ĠæĿ±": 2 + len(vocab)}
    return hf.Tokenizer.from_str(json.dumps(data))


def _merged_pieces(normalizer, cut, *, strips=False):
    """As Llama's: merges of characters, and bytes for those that are not there."""
    trained = hf.Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "▁")
    specials = ["<unk>", "<s>", "</s>", *BYTE_PIECES]
    trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    data = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in data["merges"]]
    backend = hf.Tokenizer(
        models.BPE(data["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer, backend.pre_tokenizer = normalizer, cut
    backend.decoder = decoders.Sequence([*LLAMA_DECODER, *[decoders.Strip(" ", 1, 0)] * strips])
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return backend


def _unigram(cut, *, byte_fallback):
    trained = hf.Tokenizer(models.Unigram())
    trained.pre_tokenizer = cut
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    pieces = [tuple(piece) for piece in json.loads(trained.to_str())["model"]["vocab"]]
    pieces += [(piece, -20.0) for piece in BYTE_PIECES] * byte_fallback
    backend = hf.Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=byte_fallback))
    backend.pre_tokenizer = cut
    meta = decoders.Metaspace()
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), meta]) if byte_fallback else meta
    backend.add_special_tokens(["<unk>", "</s>"])
    return backend


def _word_pieces():
    backend = hf.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]"], show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def _word_level():
    vocab = dict.fromkeys(WHITE.split("[UNK] " + " ".join(CORPUS)))
    backend = hf.Tokenizer(models.WordLevel({word: id for id, word in enumerate(vocab)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["[UNK]"])
    return backend


def _llama(scheme):
    return _merged_pieces(
        None, pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False), strips=scheme != "never"
    )


_LEGACY = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
_T5 = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
# How each is made, and what of a text its ids spell.
_KINDS = {
    "byte-level": (lambda: _byte_level(pre_tokenizers.ByteLevel(False)), as_it_is),
    "byte-level, spaced": (lambda: _byte_level(pre_tokenizers.ByteLevel(True)), spaced_once),
    "byte-level, composed": (
        lambda: _byte_level(pre_tokenizers.ByteLevel(False), normalizer=normalizers.NFC()),
        composed,
    ),
    "byte-level, by the normalizer": (
        lambda: _byte_level(
            pre_tokenizers.Split("Ġ", "merged_with_next"), normalizer=normalizers.ByteLevel()
        ),
        as_it_is,
    ),
    "whole words": (_ignore_merges, as_it_is),
    "Llama, legacy": (lambda: _merged_pieces(_LEGACY, None, strips=True), spaced),
    "Llama": (lambda: _llama("first"), spaced_once),
    "Llama, everywhere": (lambda: _llama("always"), spaced_once),
    "Llama, no space": (lambda: _llama("never"), as_it_is),
    "Gemma": (
        lambda: _merged_pieces(
            normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")
        ),
        as_it_is,
    ),
    "unigrams and bytes": (lambda: _unigram(pre_tokenizers.Metaspace(), byte_fallback=True), spaced_once),
    "unigrams": (lambda: _unigram(pre_tokenizers.Metaspace(), byte_fallback=False), spaced_once),
    "unigrams of words": (lambda: _unigram(_T5, byte_fallback=False), words),
    "word pieces": (_word_pieces, words),
    "words": (_word_level, words),
}
OURS = {
    "instructions": (lambda: tokenizers.train_instructions(CORPUS, vocab_size=500), words),
    "subwords": (lambda: tokenizers.train_subwords(CORPUS, vocab_size=300), as_it_is),
    "bytes": (tokenizers.bytes_tokenizer, as_it_is),
}
KINDS = (*_KINDS, *OURS)


@functools.cache
def kind(name):
    """The tokenizer of a kind, and the function from a text to what its ids spell."""
    if name in OURS:
        make, spelled = OURS[name]
        return make(), spelled
    make, spelled = _KINDS[name]
    return tokenizers.Tokenizer.from_json(make().to_str()), spelled
