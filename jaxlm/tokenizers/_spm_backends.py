"""Builds tokenizers from SentencePiece's model files, for T5 and Llama, with parts that Marian shares."""

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
    """Builds the tokenizer of a `spiece.model` (T5) or a `tokenizer.model` (Llama, Mistral, Gemma).

    T5 closes a text with `</s>` and has its sentinels after the pieces. The others open a text with `<s>`.
    `tokenizer_config.json` may name other tokens.

    Args:
      file: the model file.
      settings: the settings in the files beside it; of tokenizer_config.json `extra_ids`, `add_bos_token`,
        `add_eos_token`, `add_prefix_space` and `legacy` are used.
      rows: the rows of the embedding; see `register_added_tokens`.

    Raises:
      ModelError: a file cannot be read, or an added token has another id in it.
    """
    spm, is_t5, config = read_sentence_pieces(file), file.name == T5_FILE, settings.values
    if not is_t5 and config.get("add_prefix_space") is False:
        spm = spm._replace(adds_space=False)
    sentinels = _sentinels(spm, config) if is_t5 else []
    model = _unigram(spm, sentinels) if spm.model == "unigram" else _merging(spm)
    backend = tokenizers.Tokenizer(model)
    ends = r"\A +" if spm.strips_spaces else r"\A "
    hidden = bool(spm.of_kind(UNUSED))
    set_preparation(
        backend,
        spm,
        hidden=hidden,
        ends=ends if spm.adds_space else None,
        legacy=config.get("legacy"),
    )
    reserve_tokens(backend, [*spm.of_kind(UNKNOWN, CONTROL), *sentinels])
    if spm.model == "bpe":
        backend.add_tokens([AddedToken(text, normalized=True) for text in spm.of_kind(USER_DEFINED)])
    register_added_tokens(backend, [_unnormalized(listed) for listed in settings.reserved()], rows=rows)
    roles = settings.named_roles
    bos, eos = roles.get("bos", "<s>"), roles.get("eos", "</s>")
    return set_end_tokens(
        backend,
        bos if config.get("add_bos_token", not is_t5) else None,
        eos if config.get("add_eos_token", is_t5) else None,
    )


def _unnormalized(listed: ListedToken) -> ListedToken:
    """The token, matched in a text before spaces are written as ▁."""
    token = listed.token
    return listed._replace(
        token=AddedToken(
            token.content,
            special=token.special,
            normalized=False,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            single_word=token.single_word,
        )
    )


def _unigram(spm: SentencePieces, sentinels: Sequence[str]) -> models.Unigram:
    (unk,) = spm.of_kind(UNKNOWN).values()
    pieces = [(HIDDEN * (piece.kind == UNUSED) + piece.text, piece.score) for piece in ranked_pieces(spm)]
    pieces += [(name, 0.0) for name in sentinels]
    return models.Unigram(pieces, unk_id=unk, byte_fallback=spm.byte_fallback)


def ranked_pieces(spm: SentencePieces) -> list[SentencePiece]:
    """Returns the pieces; user-defined ones with the score by which SentencePiece prefers them to others."""
    best = max((piece.score for piece in spm.pieces if piece.kind == NORMAL), default=0.0)
    return [
        piece._replace(score=len(piece.text.encode()) * best - 0.1) if piece.kind == USER_DEFINED else piece
        for piece in spm.pieces
    ]


def _merging(spm: SentencePieces) -> models.BPE:
    """The merges of every two pieces that make a third one, in the order of its score."""
    if spm.of_kind(UNUSED) or (spm.adds_space and spm.of_kind(USER_DEFINED)):
        raise ModelError(
            "its merges have unused pieces, or a user's and a space in front of texts, which is not supported"
        )
    (unk,) = spm.of_kind(UNKNOWN)
    known, merges = spm.of_kind(NORMAL), []
    for text, id in known.items():
        halves = ((text[:at], text[at:]) for at in range(1, len(text)))
        merges += [
            (-spm.pieces[id].score, known[left], known[right], left, right)
            for left, right in halves
            if left in known and right in known
        ]
    vocab = {piece.text: id for id, piece in enumerate(spm.pieces)}
    pairs = [(left, right) for *_, left, right in sorted(merges)]
    return models.BPE(vocab, pairs, unk_token=unk, fuse_unk=True, byte_fallback=spm.byte_fallback)


def set_preparation(
    backend: tokenizers.Tokenizer,
    spm: SentencePieces,
    *,
    hidden: bool,
    ends: str | None,
    legacy: Any = None,
) -> None:
    """Sets the normalizer, the pre-tokenizer and the decoder of a backend.

    Args:
      backend: the tokenizer, which is changed.
      spm: the content of the model file.
      hidden: whether some pieces begin with HIDDEN.
      ends: the pattern of spaces that decoding removes; None: none.
      legacy: if False, a space is added in front of the first part of a text only, not after special tokens.
    """
    steps: list[normalizers.Normalizer] = []
    if spm.charsmap:
        steps.append(normalizers.Precompiled(spm.charsmap))
    if spm.strips_spaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spm.adds_space and legacy is not False:
        steps.append(normalizers.Prepend(SPACE_MARK))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE_MARK)])
    if spm.adds_space and legacy is False:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme="first", split=False)
    parts = [decoders.Replace(HIDDEN, "")] if hidden else []
    parts += [
        decoders.Replace(SPACE_MARK, " "),
        *([decoders.ByteFallback()] if spm.byte_fallback else []),
    ]
    parts += [decoders.Fuse(), *([decoders.Replace(Regex(ends), "")] if ends else [])]
    backend.decoder = decoders.Sequence(parts)


def reserve_tokens(backend: tokenizers.Tokenizer, tokens: Sequence[str]) -> None:
    """Adds special tokens to a backend."""
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])


def set_end_tokens(
    backend: tokenizers.Tokenizer, opening: str | None, closing: str | None
) -> tokenizers.Tokenizer:
    """Makes a backend put tokens around a text on request; those that the vocabulary lacks are left out.

    Args:
      backend: the tokenizer, which is changed.
      opening: the token before a text; None: none.
      closing: the token after a text; None: none.
    """
    before, behind = (
        [name] if name and backend.token_to_id(name) is not None else [] for name in (opening, closing)
    )
    if before or behind:
        backend.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *behind],
            special_tokens=[(name, backend.token_to_id(name)) for name in {*before, *behind}],
        )
    return backend


def _sentinels(spm: SentencePieces, config: Mapping[str, Any]) -> list[str]:
    number = config.get("extra_ids", T5_SENTINELS)
    if type(number) is not int or not 0 <= number <= MOST_SENTINELS:
        raise ModelError(f"tokenizer_config.json: extra_ids is the number of sentinels: got {number!r}")
    known = {piece.text for piece in spm.pieces}
    names = (f"<extra_id_{index}>" for index in reversed(range(number)))
    return [name for name in names if name not in known]
