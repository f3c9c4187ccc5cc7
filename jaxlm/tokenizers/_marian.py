"""Marian's tokenizers: SentencePiece divides texts, and a vocabulary of both languages gives the ids."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
from tokenizers import AddedToken, models

from jaxlm.errors import ModelError
from jaxlm.tokenizers._sentence_piece_file import NORMAL, USER_DEFINED, SentencePieces, read_sentence_pieces
from jaxlm.tokenizers._sentence_pieces import BEYOND, HIDDEN
from jaxlm.tokenizers._spm_backends import ranked_pieces, reserve_tokens, set_end_tokens, set_preparation
from jaxlm.tokenizers._vocabularies import read_vocabulary

Side = Literal["source", "target"]


def from_marian(
    folder: Path, side: Side, config: Mapping[str, Any], roles: Mapping[str, str]
) -> tokenizers.Tokenizer:
    """Builds the tokenizer of a Marian folder: `source.spm` or `target.spm` for texts, `vocab.json` for ids.

    A piece that the vocabulary lacks is `<unk>`; a token that the file lacks is never found in a text.
    Language codes (`>>de<<`) are one token each.

    Args:
      folder: holds the files.
      side: whether to read source texts or translations.
      config: the content of `tokenizer_config.json`.
      roles: token by role.

    Raises:
      ModelError: a file cannot be read, or the files do not fit together.
    """
    if config.get("separate_vocabs"):
        raise ModelError("a vocabulary for each side (separate_vocabs) is not supported")
    spm = read_sentence_pieces(folder / f"{side}.spm")
    if spm.model != "unigram" or spm.byte_fallback:
        raise ModelError(f"{side}.spm holds {spm.model} pieces: of Marian's, unigrams without bytes are read")
    vocab = _vocabulary(folder / "vocab.json")
    usual = {"unk": "<unk>", "eos": "</s>", "pad": "<pad>"}
    specials = {role: roles.get(role, name) for role, name in usual.items()}
    absent = [specials[role] for role in ("unk", "eos") if specials[role] not in vocab]
    if absent:
        raise ModelError(f"vocab.json has no {' and no '.join(absent)}")
    codes = [token for token in vocab if token.startswith(">>") and token.endswith("<<")]
    plain = {*specials.values(), *codes}
    backend = tokenizers.Tokenizer(_marian_model(spm, vocab, plain, vocab[specials["unk"]]))
    set_preparation(backend, spm, hidden=True, ends=r"\A +| +\z")
    reserve_tokens(backend, [token for token in specials.values() if token in vocab])
    backend.add_tokens([AddedToken(code, normalized=False) for code in codes])
    return set_end_tokens(backend, None, specials["eos"])


def num_own_ids(backend: tokenizers.Tokenizer) -> int | None:
    """Returns the number of ids in Marian's vocabulary, before BEYOND; None for any other backend."""
    return backend.token_to_id(BEYOND)


def with_known_code(backend: tokenizers.Tokenizer, text: str, unk: str) -> str:
    """Returns a text in which an unknown language code in front (`>>xx<<`) is replaced by the unknown token.

    Args:
      backend: of a Marian tokenizer.
      text: may begin with a code.
      unk: the unknown token.
    """
    code = re.match(r">>.*?<<", text, re.DOTALL)
    if code is None or backend.token_to_id(code[0]) is not None:
        return text
    return unk + text[code.end() :]


def own_ids(
    backend: tokenizers.Tokenizer, encoding: tokenizers.Encoding, num_own: int, unk: int
) -> np.ndarray:
    """Returns the ids of an encoding, with those outside of the vocabulary replaced.

    They become the id of a hidden piece with the same text, if there is one, and else the unknown id.

    Args:
      backend: the backend that made the encoding.
      encoding: of a text.
      num_own: from `num_own_ids`.
      unk: the unknown id.

    Returns:
      int32 array `[L]`.
    """
    ids = np.asarray(encoding.ids, dtype=np.int32)
    ids = np.where(ids < num_own, ids, np.int32(unk))
    tokens = encoding.tokens if (ids == unk).any() else []
    for position in np.flatnonzero(ids == unk):
        hidden = backend.token_to_id(HIDDEN + tokens[position])
        ids[position] = unk if hidden is None else hidden
    return ids


def _marian_model(
    spm: SentencePieces, vocab: Mapping[str, int], plain: Collection[str], unk: int
) -> models.Unigram:
    """A model with the ids of the vocabulary; after BEYOND come the file's pieces that it lacks."""
    scores = {piece.text: piece.score for piece in ranked_pieces(spm) if piece.kind in (NORMAL, USER_DEFINED)}
    pieces = [
        (token, scores.get(token, 0.0)) if token in scores or token in plain else (HIDDEN + token, 0.0)
        for token in sorted(vocab, key=vocab.__getitem__)
    ]
    lacked = [(text, score) for text, score in scores.items() if text not in vocab]
    return models.Unigram([*pieces, (BEYOND, 0.0), *lacked], unk_id=unk, byte_fallback=False)


def _vocabulary(file: Path) -> dict[str, int]:
    vocab = read_vocabulary(file)
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise ModelError(f"{file.name}: ids are 0 to {len(vocab) - 1}, each one once")
    return vocab
