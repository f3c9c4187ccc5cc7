"""A long text has the ids that it has at once, though it is divided piece by piece."""

import json
import random

import numpy as np
import pytest
import tokenizers as hugging_face
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from jaxlm import tokenizers
from jaxlm.tokenizers import _long_texts

WORDS = ["to", "be", "or", "not", "that", "is", "the", "question", "whether", "tis", "nobler", "in"]
# As Llama 3 cuts texts.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(cut=None, normalizer=None, model="bpe"):
    kinds = {
        "bpe": (models.BPE(unk_token="<unk>"), hugging_face.trainers.BpeTrainer),
        "unigram": (models.Unigram(), hugging_face.trainers.UnigramTrainer),
        "words": (models.WordPiece(unk_token="<unk>"), hugging_face.trainers.WordPieceTrainer),
    }
    kind, trainer = kinds[model]
    backend = hugging_face.Tokenizer(kind)
    if cut is not None:
        backend.pre_tokenizer = cut
    if normalizer is not None:
        backend.normalizer = normalizer
    more = {"unk_token": "<unk>"} if model == "unigram" else {}
    backend.train_from_iterator(
        [text(3000, seed) for seed in range(3)],
        trainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False, **more),
    )
    backend.decoder = decoders.Fuse()
    return tokenizers.Tokenizer.from_json(backend.to_str())


def text(size, seed=0, alphabet=None):
    """Words, runs of white space, digits and signs, in no order."""
    drawn, parts, length = random.Random(seed), [], 0
    alphabet = alphabet or [
        *WORDS,
        "  ",
        "\n\n",
        "   \n ",
        "1234567",
        "...",
        "--",
        "don't",
        "é漢字",
        "\t",
        "!",
    ]
    while length < size:
        parts.append(drawn.choice(alphabet) + drawn.choice(["", " ", " ", " "]))
        length += len(parts[-1])
    return "".join(parts)


KINDS = {
    "bytes of GPT-2": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "a space in front": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "pattern": lambda: trained(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    ),
    "no cut": lambda: trained(None, normalizers.Replace(" ", "▁")),
    "prepended": lambda: trained(
        None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    ),
    "unigram": lambda: trained(pre_tokenizers.Metaspace(), model="unigram"),
    "word pieces": lambda: trained(
        pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(), model="words"
    ),
    "subwords": lambda: tokenizers.train_subwords([text(9000)], vocab_size=400),
    "instructions": lambda: tokenizers.train_instructions(["mov eax 1 [NEXT] ret"], vocab_size=500),
}


@pytest.fixture
def small(monkeypatch):
    """Texts are long from 4,000 characters on."""
    from jaxlm.tokenizers import _tokenizer

    monkeypatch.setattr(_tokenizer, "LONG_TEXT", 4000)
    for name, size in {"LONG_TEXT": 4000, "CHUNK": 1500, "MARGIN": 200}.items():
        monkeypatch.setattr(_long_texts, name, size)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_text_at_once(small, kind):
    tokenizer = KINDS[kind]()
    for seed in range(6):
        long = text(9000 + 500 * seed, seed)
        once = np.asarray(tokenizer.backend.encode(long, add_special_tokens=False).ids)
        assert (tokenizer.encode(long) == once).all()
        both = tokenizer.encode_batch([long, "short", long[:5000]])
        assert (both[0] == once).all() and (both[1] == tokenizer.encode("short")).all()
        pieces = list(tokenizer.pieces(long))
        assert all(long.startswith(piece, start) for start, piece in pieces)
        ends = [start + len(piece) for start, piece in pieces]
        starts = [start for start, _ in pieces[1:]] + [len(long)]
        assert all(long[end:start] in ("", " ") for end, start in zip(ends, starts, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_short(small, kind):
    pieces = list(KINDS[kind]().pieces(text(30_000)))
    assert len(pieces) > 10 and max(len(piece) for _, piece in pieces) < 2 * 1500


@pytest.mark.parametrize("alphabet", [["a"], [" "], ["a ", "  "], ["漢", "字"], ["\n"], ["[MASK]"], ["1"]])
def test_texts_of_few_characters(small, alphabet):
    tokenizer = KINDS["subwords"]()
    long = text(8000, alphabet=alphabet)
    once = np.asarray(tokenizer.backend.encode(long, add_special_tokens=False).ids)
    assert (tokenizer.encode(long) == once).all()


def test_residues_and_specials_around():
    tokenizer = tokenizers.residue_tokenizer()
    long = "MKTAYIAKQR" * 120_000
    assert tokenizer.encode(long).size == len(long)
    assert json.loads(tokenizer.to_json())["post_processor"] is not None
