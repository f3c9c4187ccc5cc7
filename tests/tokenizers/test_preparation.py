"""Pipelines of any steps: either they say why their bytes are not known, or they keep what they promise."""

import itertools
import random

import pytest
import tokenizers as hf
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from jaxlm import tokenizers
from tests.tokenizers.byte_kinds import BYTE_PIECES

LETTERS = "thecats ob1é漢,!.▁Ġ\n"
SYMBOLS = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *LETTERS])
MERGED = ["th", "the", "▁t", "Ġt", "ca"]
NORMALIZERS = [
    *(normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"), normalizers.ByteLevel(), normalizers.Strip()),
    *(normalizers.NFC(), normalizers.Replace(Regex(" {2,}"), " ")),
]
SCHEMES = ("always", "first", "never")
CUTS = [
    *(
        pre_tokenizers.ByteLevel(spaced, use_regex=regex)
        for spaced, regex in itertools.product([False, True], repeat=2)
    ),
    *(pre_tokenizers.Metaspace(prepend_scheme=scheme) for scheme in SCHEMES),
    *(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace(), pre_tokenizers.BertPreTokenizer()),
    *(pre_tokenizers.Split(" ", how) for how in ("removed", "isolated", "merged_with_previous")),
    *(pre_tokenizers.Digits(), pre_tokenizers.Punctuation(), pre_tokenizers.CharDelimiterSplit("a")),
    *(pre_tokenizers.Split(Regex(r"\S+"), "removed", invert=True), pre_tokenizers.UnicodeScripts()),
]
MARKS = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
DECODERS = {
    "pieces": [decoders.ByteLevel(), decoders.Metaspace(), decoders.Sequence(MARKS), decoders.Fuse(), None],
    "words": [decoders.WordPiece(cleanup=False)],
}
BITS = [*LETTERS, *("the", "cat", "  ", "\t", "e\u0301", "A", "…", "<0x41>", "👩‍👩‍👧", "\u3000", "<t>")]
# What has to be left out of a text, by what is said to be lost.
LEFT_OUT = {"'▁'": "▁", "names of bytes": "<0x41>", "added token": "<t>", "words that begin": "#"}


def model_of(draw, decoder):
    if decoder == "words":
        pieces = ["[UNK]", *SYMBOLS, *("##" + symbol for symbol in SYMBOLS), "the", "##at"]
        return models.WordPiece({piece: id for id, piece in enumerate(pieces)}, unk_token="[UNK]")
    falls_back = draw.random() < 0.5
    if draw.random() < 0.3:
        scored = [("<unk>", -30.0), *((piece, -5.0) for piece in [*SYMBOLS, *MERGED])]
        return models.Unigram([*scored, *((piece, -20.0) for piece in BYTE_PIECES)], 0, falls_back)
    vocab = {piece: id for id, piece in enumerate([*SYMBOLS, *BYTE_PIECES, *MERGED])}
    merges = [("t", "h"), ("th", "e"), ("▁", "t"), ("Ġ", "t"), ("c", "a")]
    return models.BPE(vocab, merges, byte_fallback=falls_back, ignore_merges=draw.random() < 0.3)


def drawn(draw):
    decoder = draw.choice(["pieces", "pieces", "words"])
    backend = hf.Tokenizer(model_of(draw, decoder))
    backend.normalizer = normalizers.Sequence(draw.sample(NORMALIZERS, draw.choice([0, 0, 1, 2])))
    backend.pre_tokenizer = pre_tokenizers.Sequence(draw.sample(CUTS, draw.choice([0, 1, 1, 2])))
    found = draw.choice(DECODERS[decoder])
    if found is not None:
        backend.decoder = found
    if draw.random() < 0.3:
        normalized, strips = draw.random() < 0.5, draw.random() < 0.2
        backend.add_tokens([hf.AddedToken("<t>", normalized=normalized, lstrip=strips)])
    return tokenizers.Tokenizer.from_json(backend.to_str())


def kept_text(draw, losses):
    """A text without what is said to be lost; None: what is lost is not told by single characters."""
    if any(loss.startswith("what ") or "left out" in loss for loss in losses):
        return None
    text = "".join(draw.choices(BITS, k=draw.randint(1, 8)))
    for loss, bit in itertools.product(losses, LEFT_OUT):
        text = text.replace(LEFT_OUT[bit], "") if bit in loss else text
    if any(loss.startswith("white space") for loss in losses):
        text = (" " if any("single" in loss for loss in losses) else "").join(text.split())
    # In front of an added token no prefix stands.
    return "a" + text if text.startswith("<t>") else text


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 8))])
def test_steps_in_any_order_keep_what_is_promised(seed):
    draw, known, compared = random.Random(seed), 0, 0
    for _ in range(300):
        tokenizer = drawn(draw)
        try:
            found = tokenizers.token_bytes(tokenizer)
        except tokenizers.UnknownBytesError:
            continue
        known += 1
        for text in filter(None, (kept_text(draw, found.losses) for _ in range(10))):
            ids = tokenizer.encode(text)
            if any(found.values[id] is None for id in ids):
                continue
            gets = found.prefixes_spaces or not text.startswith(" ")
            spelled = b"".join(found.values[id] for id in ids)
            assert spelled == found.prefix * gets + text.encode(), (text, tokenizer.to_json()[-3000:])
            compared += 1
    assert known > 30 and compared > 100
