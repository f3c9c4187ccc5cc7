"""Tokenizers of SentencePiece's model files: T5's and Llama's, and what Marian's have in common with them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from jaxlm.tokenizers._sentence_piece_file import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    SentencePieces,
    read_sentence_pieces,
)
from jaxlm.tokenizers._sentence_pieces import HIDDEN, SPACE

T5_FILE, LLAMA_FILE = "spiece.model", "tokenizer.model"
T5_SENTINELS, MOST_SENTINELS = 100, 10_000


def from_sentence_pieces(
    file: Path, config: Mapping[str, Any], roles: Mapping[str, str]
) -> tokenizers.Tokenizer:
    """Builds the tokenizer of a `spiece.model` (T5's) or a `tokenizer.model` (Llama's, Mistral's, Gemma's).

    T5's texts are closed by `</s>`, and its sentinels stand behind the pieces; the others' are opened by
    `<s>`, where `tokenizer_config.json` names no other tokens.

    Args:
      file: the model file; `added_tokens.json` is read beside it.
      config: what `tokenizer_config.json` says; `extra_ids`, `add_bos_token`, `add_eos_token`, `legacy` and
        `added_tokens_decoder` count.
      roles: role to token.

    Raises:
      ValueError: if a file cannot be read, or tokens that were added later have other ids in them.
    """
    found, is_t5 = read_sentence_pieces(file), file.name == T5_FILE
    sentinels = _sentinels(found, config) if is_t5 else []
    model = _unigram(found, sentinels) if found.model == "unigram" else _merging(found)
    backend = tokenizers.Tokenizer(model)
    ends = r"\A +" if found.strips_spaces else r"\A "
    hidden = bool(found.of_kind(UNUSED))
    prepare(
        backend, found, hidden=hidden, ends=ends if found.adds_space else None, legacy=config.get("legacy")
    )
    reserve(backend, [*found.of_kind(UNKNOWN, CONTROL), *sentinels])
    if found.model == "bpe":
        backend.add_tokens([AddedToken(text, normalized=True) for text in found.of_kind(USER_DEFINED)])
    _add_later(backend, _later(file.parent, config))
    bos, eos = roles.get("bos", "<s>"), roles.get("eos", "</s>")
    return around(
        backend,
        bos if config.get("add_bos_token", not is_t5) else None,
        eos if config.get("add_eos_token", is_t5) else None,
    )


def _unigram(found: SentencePieces, sentinels: Sequence[str]) -> models.Unigram:
    (unk,) = found.of_kind(UNKNOWN).values()
    pieces = [(HIDDEN * (one.kind == UNUSED) + one.text, one.score) for one in scored(found)]
    pieces += [(name, 0.0) for name in sentinels]
    return models.Unigram(pieces, unk_id=unk, byte_fallback=found.byte_fallback)


def scored(found: SentencePieces) -> list[Piece]:
    """The pieces, those of the user's with the score by which SentencePiece prefers them to all others."""
    best = max((piece.score for piece in found.pieces if piece.kind == NORMAL), default=0.0)
    return [
        one._replace(score=len(one.text.encode()) * best - 0.1) if one.kind == USER_DEFINED else one
        for one in found.pieces
    ]


def _merging(found: SentencePieces) -> models.BPE:
    """Merges of every two pieces that make a third, in the order of its score."""
    if found.of_kind(UNUSED) or (found.adds_space and found.of_kind(USER_DEFINED)):
        raise ValueError(
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


def prepare(
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
    steps = [normalizers.Precompiled(found.charsmap)] if found.charsmap else []
    if found.strips_spaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if found.adds_space and legacy is not False:
        steps.append(normalizers.Prepend(SPACE))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    if found.adds_space and legacy is False:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False)
    parts = [decoders.Replace(HIDDEN, "")] if hidden else []
    parts += [decoders.Replace(SPACE, " "), *([decoders.ByteFallback()] if found.byte_fallback else [])]
    parts += [decoders.Fuse(), *([decoders.Replace(Regex(ends), "")] if ends else [])]
    backend.decoder = decoders.Sequence(parts)


def reserve(backend: tokenizers.Tokenizer, tokens: Sequence[str]) -> None:
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])


def around(backend: tokenizers.Tokenizer, opening: str | None, closing: str | None) -> tokenizers.Tokenizer:
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
        raise ValueError(f"tokenizer_config.json: extra_ids is the number of sentinels: got {number!r}")
    known = {piece.text for piece in found.pieces}
    names = (f"<extra_id_{index}>" for index in reversed(range(number)))
    return [name for name in names if name not in known]


def _later(folder: Path, config: Mapping[str, Any]) -> dict[int, tuple[str, bool]]:
    """Tokens that were added to a vocabulary, by id, and whether they are special."""
    file = folder / "added_tokens.json"
    listed = read_vocabulary(file) if file.exists() else {}
    found = {id: (token, True) for token, id in listed.items()}
    decoder = config.get("added_tokens_decoder", {})
    for id, token in decoder.items() if isinstance(decoder, dict) else ():
        if id.isdecimal() and isinstance(token, dict) and isinstance(token.get("content"), str):
            found[int(id)] = token["content"], bool(token.get("special"))
    return found


def _add_later(backend: tokenizers.Tokenizer, later: Mapping[int, tuple[str, bool]]) -> None:
    for id, (token, special) in sorted(later.items()):
        backend.add_tokens([AddedToken(token, normalized=False, special=special)])
        if backend.token_to_id(token) != id:
            got = backend.token_to_id(token)
            raise ValueError(
                f"the added token {token!r} would have id {got} behind the pieces, and is said to have {id}"
            )


def read_vocabulary(file: Path) -> dict[str, int]:
    """Returns token to id of a JSON file.

    Raises:
      ValueError: if it is no such file.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is not JSON ({error})") from error
    if not isinstance(found, dict) or not all(type(id) is int for id in found.values()):
        raise ValueError(f"{file.name}: expected a JSON object of tokens and ids")
    return found
