"""Tokenizers of SentencePiece's model files: T5's and Llama's, and what Marian's have in common with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from jaxlm.errors import ModelError
from jaxlm.tokenizers._added_tokens import register_added_tokens
from jaxlm.tokenizers._sentence_piece_file import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    SentencePiece,
    SentencePieces,
    read_sentence_pieces,
)
from jaxlm.tokenizers._sentence_pieces import HIDDEN, SPACE_MARK
from jaxlm.tokenizers._settings import ListedToken, TokenizerSettings

T5_FILE, LLAMA_FILE = "spiece.model", "tokenizer.model"
T5_SENTINELS, MOST_SENTINELS = 100, 10_000


def from_sentence_pieces(
    file: Path, settings: TokenizerSettings, rows: int | None = None
) -> tokenizers.Tokenizer:
    """Builds the tokenizer of a `spiece.model` (T5's) or a `tokenizer.model` (Llama's, Mistral's, Gemma's).

    T5's texts are closed by `</s>`, and its sentinels stand behind the pieces; the others' are opened by
    `<s>`, where `tokenizer_config.json` names no other tokens.

    Args:
      file: the model file.
      settings: what stands beside it; of tokenizer_config.json `extra_ids`, `add_bos_token`, `add_eos_token`,
        `add_prefix_space` and `legacy` count.
      rows: of the embedding; see `register_added_tokens`.

    Raises:
      ValueError: if a file cannot be read, or tokens that were added later have other ids in them.
    """
    found, is_t5, config = read_sentence_pieces(file), file.name == T5_FILE, settings.values
    if not is_t5 and config.get("add_prefix_space") is False:
        found = found._replace(adds_space=False)
    sentinels = _sentinels(found, config) if is_t5 else []
    model = _unigram(found, sentinels) if found.model == "unigram" else _merging(found)
    backend = tokenizers.Tokenizer(model)
    ends = r"\A +" if found.strips_spaces else r"\A "
    hidden = bool(found.of_kind(UNUSED))
    set_preparation(
        backend, found, hidden=hidden, ends=ends if found.adds_space else None, legacy=config.get("legacy")
    )
    reserve_tokens(backend, [*found.of_kind(UNKNOWN, CONTROL), *sentinels])
    if found.model == "bpe":
        backend.add_tokens([AddedToken(text, normalized=True) for text in found.of_kind(USER_DEFINED)])
    register_added_tokens(backend, [_as_written(one) for one in settings.reserved()], rows=rows)
    roles = settings.named_roles
    bos, eos = roles.get("bos", "<s>"), roles.get("eos", "</s>")
    return set_end_tokens(
        backend,
        bos if config.get("add_bos_token", not is_t5) else None,
        eos if config.get("add_eos_token", is_t5) else None,
    )


def _as_written(one: ListedToken) -> ListedToken:
    """A token that is looked for in a text before spaces are written as ▁."""
    token = one.token
    sides = {"lstrip": token.lstrip, "rstrip": token.rstrip, "single_word": token.single_word}
    return one._replace(token=AddedToken(token.content, special=token.special, normalized=False, **sides))


def _unigram(found: SentencePieces, sentinels: Sequence[str]) -> models.Unigram:
    (unk,) = found.of_kind(UNKNOWN).values()
    pieces = [(HIDDEN * (one.kind == UNUSED) + one.text, one.score) for one in ranked_pieces(found)]
    pieces += [(name, 0.0) for name in sentinels]
    return models.Unigram(pieces, unk_id=unk, byte_fallback=found.byte_fallback)


def ranked_pieces(found: SentencePieces) -> list[SentencePiece]:
    """The pieces, those of the user's with the score by which SentencePiece prefers them to all others."""
    best = max((piece.score for piece in found.pieces if piece.kind == NORMAL), default=0.0)
    return [
        one._replace(score=len(one.text.encode()) * best - 0.1) if one.kind == USER_DEFINED else one
        for one in found.pieces
    ]


def _merging(found: SentencePieces) -> models.BPE:
    """Merges of every two pieces that make a third, in the order of its score."""
    if found.of_kind(UNUSED) or (found.adds_space and found.of_kind(USER_DEFINED)):
        raise ModelError(
            "its merges have unused pieces, or a user's and a space in front of texts, which is not supported"
        )
    (unk,) = found.of_kind(UNKNOWN)
    known, merges = found.of_kind(NORMAL), []
    for text, id in known.items():
        halves = ((text[:at], text[at:]) for at in range(1, len(text)))
        merges += [
            (-found.pieces[id].score, known[left], known[right], left, right)
            for left, right in halves
            if left in known and right in known
        ]
    vocab = {piece.text: id for id, piece in enumerate(found.pieces)}
    pairs = [(left, right) for *_, left, right in sorted(merges)]
    return models.BPE(vocab, pairs, unk_token=unk, fuse_unk=True, byte_fallback=found.byte_fallback)


def set_preparation(
    backend: tokenizers.Tokenizer,
    found: SentencePieces,
    *,
    hidden: bool,
    ends: str | None,
    legacy: Any = None,
) -> None:
    """Sets what is done to a text before it is divided, and to pieces that become one.

    Args:
      backend: to be set.
      found: what the file asks for.
      hidden: whether pieces are spelled with HIDDEN in front.
      ends: the pattern of spaces that a decoded text loses.
      legacy: False: a space stands in front of the first part of a text only, not behind special tokens.
    """
    steps: list[normalizers.Normalizer] = []
    if found.charsmap:
        steps.append(normalizers.Precompiled(found.charsmap))
    if found.strips_spaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if found.adds_space and legacy is not False:
        steps.append(normalizers.Prepend(SPACE_MARK))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE_MARK)])
    if found.adds_space and legacy is False:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme="first", split=False)
    parts = [decoders.Replace(HIDDEN, "")] if hidden else []
    parts += [decoders.Replace(SPACE_MARK, " "), *([decoders.ByteFallback()] if found.byte_fallback else [])]
    parts += [decoders.Fuse(), *([decoders.Replace(Regex(ends), "")] if ends else [])]
    backend.decoder = decoders.Sequence(parts)


def reserve_tokens(backend: tokenizers.Tokenizer, tokens: Sequence[str]) -> None:
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])


def set_end_tokens(
    backend: tokenizers.Tokenizer, opening: str | None, closing: str | None
) -> tokenizers.Tokenizer:
    """Puts tokens around a text on request, those that the vocabulary has."""
    before, behind = (
        [name] if name and backend.token_to_id(name) is not None else [] for name in (opening, closing)
    )
    if before or behind:
        backend.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *behind],
            special_tokens=[(name, backend.token_to_id(name)) for name in {*before, *behind}],
        )
    return backend


def _sentinels(found: SentencePieces, config: Mapping[str, Any]) -> list[str]:
    number = config.get("extra_ids", T5_SENTINELS)
    if type(number) is not int or not 0 <= number <= MOST_SENTINELS:
        raise ModelError(f"tokenizer_config.json: extra_ids is the number of sentinels: got {number!r}")
    known = {piece.text for piece in found.pieces}
    names = (f"<extra_id_{index}>" for index in reversed(range(number)))
    return [name for name in names if name not in known]
