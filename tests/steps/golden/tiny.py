"""Tiny random translators and a tiny random GPT-2, with their vocabularies, as Hugging Face folders."""

import json
from pathlib import Path

import tokenizers
import torch
import transformers
from sentencepiece import sentencepiece_model_pb2 as spm

ENGLISH = (
    "the",
    "a",
    "dog",
    "cat",
    "bird",
    "saw",
    "park",
    "in",
    "old",
    "man",
    "and",
    "sleep",
    "s",
    "under",
    "tree",
)
GERMAN = (
    "der",
    "die",
    "eine",
    "hund",
    "katze",
    "vogel",
    "sah",
    "im",
    "park",
    "alte",
    "mann",
    "und",
    "schläf",
    "t",
)
# Endings, which stand without a space before them.
ENDINGS = ("s", "t")
MERGES = (
    "t h",
    "th e",
    "Ġ the",
    "Ġ a",
    "o g",
    "d og",
    "Ġ dog",
    "a t",
    "c at",
    "Ġ cat",
    "i n",
    "a w",
    "s aw",
    "Ġ saw",
)
DROPOUT = 0.2


def write(folder: Path) -> dict[str, Path]:
    """Writes a folder for each model and returns them by the models' names."""
    writers = {"gpt2": gpt2, "t5": t5, "marian": marian}
    for name, writer in writers.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        writer(folder / name)
    return {name: folder / name for name in writers}


def gpt2(folder: Path) -> None:
    """GPT-2 over bytes and a few merges of them."""
    symbols = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [tuple(merge.split()) for merge in MERGES]
    names = [*symbols, *("".join(merge) for merge in merges), "<|endoftext|>"]
    vocab = {name: number for number, name in enumerate(names)}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    end = "<|endoftext|>"
    transformers.GPT2TokenizerFast(
        tokenizer_object=backend, bos_token=end, eos_token=end, unk_token=end
    ).save_pretrained(folder)
    for other in ("vocab.json", "merges.txt"):  # tokenizer.json holds both
        (folder / other).unlink(missing_ok=True)
    end_id = vocab[end]
    config = transformers.GPT2Config(
        vocab_size=len(vocab),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=end_id,
        eos_token_id=end_id,
        resid_pdrop=DROPOUT,
        embd_pdrop=DROPOUT,
        attn_pdrop=DROPOUT,
    )
    save(transformers.GPT2LMHeadModel(config), folder)


def t5(folder: Path) -> None:
    """T5 over words of both languages; its first version's feed-forward and tied table."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *scored(ENGLISH + GERMAN)]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.decoder = tokenizers.decoders.Metaspace()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = transformers.T5Config(
        vocab_size=len(pieces),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=12,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        dropout_rate=DROPOUT,
    )
    save(transformers.T5ForConditionalGeneration(config), folder)


def marian(folder: Path) -> None:
    """Marian, with a file of SentencePiece for each language and one vocabulary of both."""
    for side, words in (("source", ENGLISH), ("target", GERMAN)):
        (folder / f"{side}.spm").write_bytes(sentence_pieces(words))
    own = [name for name, _ in scored(ENGLISH + GERMAN)]
    vocab = {name: number for number, name in enumerate(["</s>", "<unk>", *own, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "de"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = transformers.MarianConfig(
        vocab_size=len(vocab),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=vocab["<pad>"],
        eos_token_id=0,
        decoder_start_token_id=vocab["<pad>"],
        forced_eos_token_id=None,
        dropout=DROPOUT,
        attention_dropout=DROPOUT,
    )
    save(transformers.MarianMTModel(config), folder)


def scored(words: tuple[str, ...]) -> list[tuple[str, float]]:
    """Pieces with their log-probabilities: each word once, and the space alone."""
    names = [word if word in ENDINGS else f"▁{word}" for word in dict.fromkeys(words)]
    return [(name, -2.0 - number / 64) for number, name in enumerate(["▁", *names])]


def sentence_pieces(words: tuple[str, ...]) -> bytes:
    """Returns a model file of SentencePiece: unigrams, behind the three pieces that all such files have."""
    model = spm.ModelProto()
    kinds = model.SentencePiece
    opening = [("<unk>", 0.0, kinds.UNKNOWN), ("<s>", 0.0, kinds.CONTROL), ("</s>", 0.0, kinds.CONTROL)]
    for name, score, kind in [*opening, *((*piece, kinds.NORMAL) for piece in scored(words))]:
        model.pieces.add(piece=name, score=score, type=kind)
    model.trainer_spec.model_type = model.trainer_spec.UNIGRAM
    model.normalizer_spec.name = "identity"
    return model.SerializeToString()


def save(model: transformers.PreTrainedModel, folder: Path) -> None:
    """Draws parameters that are far from their start, so that what is read matters, and writes them."""
    torch.manual_seed(len(folder.name))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.requires_grad:
                is_scale = ("norm" in name or "ln_" in name) and name.endswith("weight")
                tensor.normal_(1.0 if is_scale else 0.0, 0.3)
        # What the logits are made with: T5 divides them by the root of its width.
        model.get_input_embeddings().weight.mul_(6.0 if folder.name == "t5" else 2.0)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_(0.0, 0.5)
    model.save_pretrained(folder)
