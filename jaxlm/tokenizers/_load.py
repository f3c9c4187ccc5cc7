"""Opens a tokenizer from a file or a Hugging Face folder."""

import logging
import os
from pathlib import Path

import tokenizers

from jaxlm import io
from jaxlm.errors import ModelError, ModelNotFoundError
from jaxlm.tokenizers._classes import PLAIN_CLASSES, check_readable
from jaxlm.tokenizers._kinds import infer_kind
from jaxlm.tokenizers._marian import Side, from_marian
from jaxlm.tokenizers._roles import resolve_roles
from jaxlm.tokenizers._settings import TokenizerSettings, read_settings
from jaxlm.tokenizers._spm_backends import LLAMA_FILE, T5_FILE, from_sentence_pieces
from jaxlm.tokenizers._tokenizer import Tokenizer
from jaxlm.tokenizers._tokenizer_json import from_tokenizer_json
from jaxlm.tokenizers._vocabularies import from_vocab_json
from jaxlm.tokenizers._word_pieces import from_vocab_txt

LOG = logging.getLogger(__name__)
# The files in which a folder may have its tokenizer, for messages.
EXPECTED_FILES = (
    "tokenizer.json, vocab.json with merges.txt or source.spm, vocab.txt, spiece.model, or tokenizer.model"
)
CONVERSION_REMEDY = (
    "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(OUT) of transformers writes tokenizer.json"
)


def load_tokenizer(
    path: str | os.PathLike[str], *, side: Side = "source", rows: int | None = None
) -> Tokenizer:
    """Opens a tokenizer from a `tokenizer.json`, or from a folder with that file or older vocabulary files.

    Texts get the ids that transformers 5 gives. The tokenizer's class in `transformers` is looked up in
    `tokenizer_config.json`, then in the model's `config.json`. The class decides how texts are changed before
    they are divided into tokens, and which tokens stand around a text. If no file names a class, a
    tokenizer.json is used unchanged, and vocabulary files are read as those of the class whose special tokens
    they contain.

    The roles of tokens (pad, mask, eos and others, see `Specials`) are read from `special_tokens_map.json`
    and `tokenizer_config.json`, where null means that no token has the role. Roles that these files do not
    name are found by conventional names ([MASK], <mask>, <|mask|> and others). Tokens of `added_tokens.json`,
    `added_tokens_decoder` and `additional_special_tokens` are matched as a whole; a token that the vocabulary
    lacks gets an id after those of the vocabulary. Padding, truncation and dropout in the file are switched
    off.

    Args:
      path: the path of the file or folder. In a folder `tokenizer.json` comes first, then `vocab.json` with
        `merges.txt` (GPT-2's, RoBERTa's) or with `source.spm` (Marian's), then `vocab.txt` (BERT's, ESM's),
        then SentencePiece's `spiece.model` (T5's) and `tokenizer.model` (Llama's).
      side: for a Marian folder, whether the tokenizer divides source texts or translations ("target"). The
        two have different files but the same ids. Other folders have one side only.
      rows: the number of rows of the model's embedding. A special token that a file names but the vocabulary
        lacks is added if the embedding has a row for it. None: the number in the config.json of the folder.

    Returns:
      A `Tokenizer`.

    Raises:
      ModelNotFoundError: there is no tokenizer at the path.
      ModelError: a file cannot be read, or the class needs more than the files to divide texts, such as a
        Japanese dictionary.

    Example:
      >>> from jaxlm.tokenizers import load_tokenizer
      >>> load_tokenizer("nowhere/tokenizer.json")
      Traceback (most recent call last):
      ...
      jaxlm.errors.ModelNotFoundError: no tokenizer at nowhere/tokenizer.json: no such file or folder
    """
    path = Path(path)
    if not path.exists():
        raise ModelNotFoundError(f"no tokenizer at {path}: no such file or folder")
    with io.reading_from(path):
        return _opened(path, side, rows)


def _opened(path: Path, side: Side, rows: int | None) -> Tokenizer:
    folder = path if path.is_dir() else path.parent
    file = path / "tokenizer.json" if path.is_dir() else path
    settings = read_settings(folder)
    rows = settings.rows if rows is None else rows
    try:
        if file.exists():
            return _of_file(file, settings, rows)
        backend, roles = _from_vocabulary(folder, settings, side, rows)
        return Tokenizer.from_json(backend.to_str(), dict.fromkeys(settings.denied) | roles)
    except ModelNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise ModelError(f"{file}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise ModelError(f"{file if file.exists() else folder}: {error}") from error


def _of_file(file: Path, settings: TokenizerSettings, rows: int | None) -> Tokenizer:
    backend = from_tokenizer_json(file.read_text(encoding="utf-8"), settings, rows)
    return Tokenizer(backend, infer_kind(backend), resolve_roles(backend, settings.told_roles))


def _from_vocabulary(
    folder: Path, settings: TokenizerSettings, side: Side, rows: int | None
) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """The backend of older files, and the token of each role."""
    check_readable(settings.class_name, CONVERSION_REMEDY)
    if settings.family is None and settings.class_name not in (None, *PLAIN_CLASSES):
        LOG.warning(
            "%s: tokenizer_class=%r is not known: its vocabulary is read as its specials tell",
            *(folder, settings.class_name),
        )
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return from_vocab_json(folder / "vocab.json", folder / "merges.txt", settings, rows)
    if (folder / "vocab.json").exists() and (folder / f"{side}.spm").exists():
        return from_marian(folder, side, settings.values, settings.roles), settings.roles
    if (folder / "vocab.txt").exists():
        return from_vocab_txt(folder / "vocab.txt", settings, rows)
    pieces = next((folder / name for name in (T5_FILE, LLAMA_FILE) if (folder / name).exists()), None)
    if pieces is None:
        raise ModelNotFoundError(f"no tokenizer in {folder}: expected {EXPECTED_FILES}{_instead(folder)}")
    try:
        return from_sentence_pieces(pieces, settings, rows), settings.roles
    except ValueError as error:
        raise ModelError(f"{error}; {CONVERSION_REMEDY}") from error


def _instead(folder: Path) -> str:
    """What a folder holds instead of a tokenizer, and the remedy."""
    for pattern, remedy in (
        ("*.model", CONVERSION_REMEDY),
        ("*.spm", "Marian's are source.spm, target.spm and vocab.json: fetch what is missing"),
    ):
        names = [path.name for path in sorted(folder.glob(pattern))]
        if names:
            return f", found {', '.join(names)}; {remedy}"
    return ""
