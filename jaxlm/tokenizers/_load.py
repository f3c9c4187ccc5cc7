"""Opening a tokenizer from a file or a Hugging Face folder."""

import json
import os
from pathlib import Path
from typing import Any

import tokenizers

from jaxlm.tokenizers._marian import Side, from_marian
from jaxlm.tokenizers._roles import Specials
from jaxlm.tokenizers._spm_backends import LLAMA_FILE, T5_FILE, from_sentence_pieces
from jaxlm.tokenizers._tokenizer import Tokenizer
from jaxlm.tokenizers._vocabularies import from_vocab_json, from_vocab_txt

# What a folder's tokenizer may be kept in.
WANTED = (
    "tokenizer.json, vocab.json with merges.txt or source.spm, vocab.txt, spiece.model, or tokenizer.model"
)
ROLE_KEYS = {f"{role}_token": role for role in Specials._fields}
WAY_OUT = "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(OUT) of transformers writes tokenizer.json"


def load(path: str | os.PathLike[str], *, side: Side = "source") -> Tokenizer:
    """Opens a tokenizer: a `tokenizer.json`, or a folder with one or with older vocabulary files.

    Roles are read from `special_tokens_map.json` and `tokenizer_config.json` beside the file where those
    exist (a token that they name and the vocabulary lacks counts as absent, and one that is null is none);
    the other roles go by conventional names ([MASK], <mask>, <|mask|>, ...). Padding, truncation and dropout
    stored in the file are switched off.

    Args:
      path: file or folder. In a folder `tokenizer.json` comes first, then `vocab.json` with `merges.txt`
        (GPT-2's) or with `source.spm` (Marian's), then `vocab.txt` (BERT's), then SentencePiece's
        `spiece.model` (T5's) and `tokenizer.model` (Llama's).
      side: whose texts a Marian folder's tokenizer is to read: "source", those that are translated, or
        "target", translations, where the two are divided by files of their own; ids are the same.

    Returns:
      A `Tokenizer`.

    Raises:
      FileNotFoundError: if there is nothing to open.
      ValueError: if a file can't be read as what it should be.

    Example:
      >>> load("nowhere/tokenizer.json")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no tokenizer at nowhere/tokenizer.json: no such file or folder
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no tokenizer at {path}: no such file or folder")
    folder = path if path.is_dir() else path.parent
    file = path / "tokenizer.json" if path.is_dir() else path
    config = _settings(folder)
    try:
        text = (
            file.read_text(encoding="utf-8")
            if file.exists()
            else _from_vocabulary(folder, config, side).to_str()
        )
        return Tokenizer.from_json(text, _roles(config))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise ValueError(f"{file if file.exists() else folder}: {error}") from error


def _from_vocabulary(folder: Path, config: dict[str, Any], side: Side) -> tokenizers.Tokenizer:
    roles = {role: token for role, token in _roles(config).items() if token is not None}
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return from_vocab_json(folder / "vocab.json", folder / "merges.txt", config, roles)
    if (folder / "vocab.json").exists() and (folder / f"{side}.spm").exists():
        return from_marian(folder, side, config, roles)
    if (folder / "vocab.txt").exists():
        return from_vocab_txt(folder / "vocab.txt", config, roles)
    pieces = next((folder / name for name in (T5_FILE, LLAMA_FILE) if (folder / name).exists()), None)
    if pieces is None:
        raise FileNotFoundError(f"no tokenizer in {folder}: expected {WANTED}{_instead(folder)}")
    try:
        return from_sentence_pieces(pieces, config, roles)
    except ValueError as error:
        raise ValueError(f"{error}; {WAY_OUT}") from error


def _instead(folder: Path) -> str:
    """What is there in place of a tokenizer, and what to do about it."""
    for pattern, way_out in (
        ("*.model", WAY_OUT),
        ("*.spm", "Marian's are source.spm, target.spm and vocab.json: fetch what is missing"),
    ):
        found = [path.name for path in sorted(folder.glob(pattern))]
        if found:
            return f", found {', '.join(found)}; {way_out}"
    return ""


def _settings(folder: Path) -> dict[str, Any]:
    """What the two files beside a tokenizer say, the newer of the formats last."""
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        file = folder / name
        if not file.exists():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file}: not JSON ({error})") from error
        if not isinstance(found, dict):
            raise ValueError(f"{file}: expected a JSON object, got {type(found).__name__}")
        settings |= {key: value for key, value in found.items() if value is not None}
        # Qwen's files say that no token begins texts: then none does, whatever conventional name is there.
        absent = [key for key, value in found.items() if value is None and key in ROLE_KEYS]
        settings = dict.fromkeys(absent) | settings
    return settings


def _roles(settings: dict[str, Any]) -> dict[str, str | None]:
    """Role to token, None of a role that no token has; a token is a string or an object's "content"."""
    named = {role: settings[key] for key, role in ROLE_KEYS.items() if key in settings}
    contents = {
        role: token.get("content") if isinstance(token, dict) else token for role, token in named.items()
    }
    return {role: token for role, token in contents.items() if token is None or isinstance(token, str)}
