"""Byte-level vocabularies in vocab.json and merges.txt: of GPT-2, RoBERTa, Qwen and GPT-NeoX."""

from collections.abc import Mapping
from pathlib import Path

import tokenizers
from tokenizers import models

from jaxlm.errors import ModelError
from jaxlm.tokenizers._added_tokens import conventional_tokens, insert_added_tokens, register_added_tokens
from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS
from jaxlm.tokenizers._classes import TokenizerFamily
from jaxlm.tokenizers._files import check_ids
from jaxlm.tokenizers._processing_steps import processing_steps, put_end_tokens, set_processing
from jaxlm.tokenizers._settings import TokenizerSettings, read_object

BYTE_LEVEL_FAMILIES: tuple[TokenizerFamily, ...] = ("gpt2", "roberta", "qwen2", "neox")


def from_vocab_json(
    vocab_file: Path, merges_file: Path, settings: TokenizerSettings, rows: int | None = None
) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """Builds the byte-level BPE of a `vocab.json` and a `merges.txt`, as the class of the folder reads it.

    RoBERTa and BART put `<s>` and `</s>` around a text; the others the tokens that `add_bos_token` and
    `add_eos_token` require. If no file names a class, a vocabulary with `<s>`, `</s>` and `<mask>` is taken
    as RoBERTa's, any other as GPT-2's.

    Args:
      vocab_file: ids by token.
      merges_file: a pair on each line, which ends in LF or CR LF; empty lines and `#version` are skipped.
      settings: the settings in the files beside them.
      rows: the rows of the embedding; see `register_added_tokens`.

    Returns:
      The backend, and the token of each role.

    Raises:
      ModelError: a file cannot be read, or the vocabulary is not one of bytes (CLIP, XLM).
    """
    vocab = read_vocabulary(vocab_file)
    if any(symbol not in vocab for symbol in BYTE_SYMBOLS) or any(token.endswith("</w>") for token in vocab):
        raise ModelError("vocab.json is not over GPT-2's bytes; save the tokenizer as tokenizer.json first")
    if settings.family not in BYTE_LEVEL_FAMILIES:
        is_roberta = {"<s>", "</s>", "<mask>"} <= vocab.keys()
        settings = settings._replace(class_name="RobertaTokenizer" if is_roberta else None)
    reserved = settings.reserved()
    reserved += conventional_tokens(vocab, reserved) if settings.family is None else []
    filled, holes = insert_added_tokens({token: id for token, id in vocab.items() if token}, reserved)
    try:
        model = models.BPE(filled, read_merges(merges_file))
    # The library raises a bare `Exception` for merges of tokens that the vocabulary lacks.
    except Exception as error:
        raise ModelError(f"vocab.json and merges.txt don't fit together ({error})") from error
    backend = tokenizers.Tokenizer(model)
    set_processing(backend, processing_steps(settings.family or "gpt2", settings.values))
    register_added_tokens(backend, reserved, rows=rows, plain=holes)
    _put_ends_around(backend, settings)
    return backend, settings.named_roles


def read_merges(file: Path) -> list[tuple[str, str]]:
    """Returns the pairs of a `merges.txt` in their order.

    Raises:
      ModelError: the file is not UTF-8, or a line is no pair.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{file.name}: not UTF-8 at byte {error.start}") from error
    merges = []
    for number, line in enumerate(text.split("\n"), 1):
        pair = tuple(line.strip("\r ").split(" "))
        if pair == ("",) or line.startswith("#version"):
            continue
        if len(pair) != 2:
            raise ModelError(f"{file.name}, line {number}: expected a pair of tokens, got {line[:40]!r}")
        merges.append(pair)
    return merges


def read_vocabulary(file: Path) -> dict[str, int]:
    """Returns the ids by token of a JSON file.

    Raises:
      ModelError: the file is no object of tokens and ids.
    """
    vocab: Mapping[str, int] = read_object(file)
    if not all(type(id) is int for id in vocab.values()):
        raise ModelError(f"{file.name}: expected a JSON object of tokens and ids")
    check_ids(vocab.values(), file.stat().st_size)
    return dict(vocab)


def _put_ends_around(backend: tokenizers.Tokenizer, settings: TokenizerSettings) -> None:
    roles = settings.named_roles
    if settings.family == "roberta" or (settings.family is None and {"cls", "sep"} <= roles.keys()):
        put_end_tokens(backend, roles.get("cls"), roles.get("sep"), again=2)
        return
    opening, closing = (
        roles.get(role) if settings.values.get(f"add_{role}_token") else None for role in ("bos", "eos")
    )
    if opening or closing:
        put_end_tokens(backend, opening, closing)
