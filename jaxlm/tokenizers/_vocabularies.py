"""Vocabularies without a tokenizer.json: GPT-2's vocab.json with merges.txt, BERT's and ESM's vocab.txt."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS
from jaxlm.tokenizers._kinds import residues_backend
from jaxlm.tokenizers._residues import ALPHABETS
from jaxlm.tokenizers._roles import CONVENTIONAL_NAMES


def from_vocab_json(
    vocab_file: Path, merges_file: Path, config: Mapping[str, Any], roles: Mapping[str, str]
) -> tokenizers.Tokenizer:
    """Builds the byte-level BPE of a GPT-2 style `vocab.json` and `merges.txt`.

    Args:
      vocab_file: token to id.
      merges_file: a pair a line.
      config: what `tokenizer_config.json` says; `add_prefix_space` counts.
      roles: role to token.

    Returns:
      The backend.

    Raises:
      ValueError: if the files can't be read, or the vocabulary is not over bytes (CLIP's, XLM's).
    """
    vocab = _read_json(vocab_file)
    if any(symbol not in vocab for symbol in BYTE_SYMBOLS) or any(token.endswith("</w>") for token in vocab):
        raise ValueError("vocab.json is not over GPT-2's bytes; save the tokenizer as tokenizer.json first")
    try:
        model = models.BPE.from_file(str(vocab_file), str(merges_file))
    # The Rust side raises bare `Exception` for a file that it can't read.
    except Exception as error:
        raise ValueError(f"vocab.json and merges.txt don't fit together ({error})") from error
    backend = tokenizers.Tokenizer(model)
    spaced = bool(config.get("add_prefix_space", False))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    backend.decoder = decoders.ByteLevel()
    return _with_roles(backend, config, roles)


def from_vocab_txt(
    vocab_file: Path, config: Mapping[str, Any], roles: Mapping[str, str]
) -> tokenizers.Tokenizer:
    """Builds the WordPiece of a BERT style `vocab.txt`, or the residues of ESM's or cortex's.

    Whether text is lowered is the config's `do_lower_case`; where it says nothing, a vocabulary with
    upper-case words keeps case.

    Args:
      vocab_file: a token a line.
      config: what `tokenizer_config.json` says; `do_lower_case`, `strip_accents` and `tokenize_chinese_chars`
        count.
      roles: role to token.

    Returns:
      The backend.

    Raises:
      ValueError: if the vocabulary has no unknown token, which WordPiece needs.
    """
    tokens = tuple(vocab_file.read_text(encoding="utf-8").splitlines())
    for alphabet, symbols in ALPHABETS.items():
        if tokens == symbols:
            return residues_backend(alphabet)
    vocab = {token: id for id, token in enumerate(tokens)}
    names = (roles.get("unk", ""), *CONVENTIONAL_NAMES["unk"])
    unk = next((name for name in names if name in vocab), None)
    if unk is None:
        raise ValueError(
            f"vocab.txt has no unknown token: expected one of {', '.join(CONVENTIONAL_NAMES['unk'])}"
        )
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=unk))
    specials = {name for names in CONVENTIONAL_NAMES.values() for name in names} | set(roles.values())
    is_cased = any(token != token.lower() for token in tokens if token not in specials and token[:1] != "[")
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=bool(config.get("do_lower_case", not is_cased)),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return _with_roles(backend, config, roles)


def _with_roles(
    backend: tokenizers.Tokenizer, config: Mapping[str, Any], roles: Mapping[str, str]
) -> tokenizers.Tokenizer:
    """Reserves the tokens that play a role, with `cls` and `sep`, where known, around a text on request."""
    names = {role: (roles.get(role, ""), *CONVENTIONAL_NAMES[role]) for role in CONVENTIONAL_NAMES}
    found = {
        role: next((name for name in candidates if backend.token_to_id(name) is not None), None)
        for role, candidates in names.items()
    }
    for role, name in found.items():
        if name is not None:
            stored = config.get(f"{role}_token")
            lstrip = bool(stored.get("lstrip", False)) if isinstance(stored, dict) else False
            backend.add_special_tokens([AddedToken(name, lstrip=lstrip, normalized=False, special=True)])
    if found["cls"] is not None and found["sep"] is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{found['cls']} $A {found['sep']}",
            pair=f"{found['cls']} $A {found['sep']} $B:1 {found['sep']}:1",
            special_tokens=[(found[role], backend.token_to_id(found[role])) for role in ("cls", "sep")],
        )
    return backend


def _read_json(file: Path) -> dict[str, int]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name} is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file.name}: expected a JSON object, got {type(found).__name__}")
    return found
