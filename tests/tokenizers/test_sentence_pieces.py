"""Tokenizers as published models have them, made on the spot: SentencePiece's spaces, bytes as a fallback."""

import json

import pytest
import tokenizers as huggingface
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from jaxlm import tokenizers
from jaxlm.tokenizers import Tokenizer

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = ["▁", "t", "h", "e", "c", "a", "▁t", "he", "▁the", "▁c", "at", "▁cat"]
MERGES = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "c"), ("a", "t"), ("▁c", "at")]
TEXTS = ["the cat", "  the  cat", "thé 漢\n", "<s>the</s>cat", "", "🤖 e"]


def llama():
    """Llama 2's: merges over pieces, a space put in front, unknown characters as bytes."""
    vocab = {piece: id for id, piece in enumerate(["<unk>", "<s>", "</s>", *BYTES, *PIECES])}
    backend = huggingface.Tokenizer(
        models.BPE(vocab, MERGES, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in ("<unk>", "<s>", "</s>")])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


def gemma():
    """Gemma's: no space in front, and spaces in pieces."""
    vocab = {piece: id for id, piece in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", *BYTES, *PIECES])}
    backend = huggingface.Tokenizer(
        models.BPE(vocab, MERGES, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in ("<pad>", "<eos>", "<bos>")])
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return backend


def t5():
    """T5's: the likeliest division into pieces."""
    scores = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -9.0),
        *((piece, -float(len(PIECES) - n)) for n, piece in enumerate(PIECES)),
    ]
    backend = huggingface.Tokenizer(models.Unigram(scores, unk_id=2))
    backend.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in ("<pad>", "</s>", "<unk>")])
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return backend


KINDS = {"llama": llama, "gemma": gemma, "t5": t5}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_texts_are_those_of_transformers(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    KINDS[kind]().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ messages }}"})
    )
    ours = tokenizers.load_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert ours.encode(text, add_specials=True).tolist() == ids
        assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_reads_spaces(kind):
    tokenizer = Tokenizer.from_json(KINDS[kind]().to_str())
    the = tokenizer.backend.token_to_id("▁the")
    assert tokenizer.kind == "huggingface"
    assert tokenizer.token(the) == " the" and tokenizer.id(" the") == tokenizer.id("▁the") == the
    assert tokenizer.id(" dog") is None


@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_bytes_stand_in_for_what_no_piece_covers(kind):
    tokenizer = Tokenizer.from_json(KINDS[kind]().to_str())
    ids = tokenizer.encode("é!").tolist()
    assert [tokenizer.token(id) for id in ids][-3:] == ["\\xc3", "\\xa9", "!"]
    assert tokenizer.decode(ids) == "é!"
    assert tokenizer.id("!") == ids[-1] and tokenizer.id("a") == tokenizer.backend.token_to_id("a")


def test_a_file_of_sentencepiece_that_cannot_be_read_says_the_way_out(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e")
    with pytest.raises(ValueError, match=r"tokenizer\.model is no .* left; AutoTokenizer\.from_pretrained"):
        tokenizers.load_tokenizer(tmp_path)
