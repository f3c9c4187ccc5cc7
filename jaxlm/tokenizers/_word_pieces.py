"""Vocabularies in vocab.txt, one token a line: BERT's word pieces, ESM's symbols, single residues."""

import functools
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from jaxlm.errors import ModelError
from jaxlm.tokenizers._added_tokens import conventional_tokens, insert_added_tokens, register_added_tokens
from jaxlm.tokenizers._kinds import residues_backend
from jaxlm.tokenizers._processing_steps import processing_steps, put_end_tokens, set_processing
from jaxlm.tokenizers._residues import ALPHABETS, AMINO_ACIDS
from jaxlm.tokenizers._roles import CONVENTIONAL_NAMES
from jaxlm.tokenizers._settings import ListedToken, TokenizerSettings

LOG = logging.getLogger(__name__)
# A residue, a gap, a stop, a separator of chains, or a name in brackets such as [unused1].
_SYMBOL = re.compile(r"[A-Z.\-*?$|~]|\[.*\]|<.*>")
# Unicode's White_Space, which is removed from the end of a line.
_WHITE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000"
)


def read_vocab_txt(file: Path) -> list[str]:
    r"""Returns the tokens of a `vocab.txt`; the id of a token is the number of its line, from 0.

    Lines end at "\n" or "\r\n" only, because vocabularies hold U+2028 and other line ends of Unicode. White
    space after a token and a byte order mark are removed.

    Raises:
      ModelError: the file is not UTF-8.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{file.name}: not UTF-8 at byte {error.start}") from error
    lines = text.split("\n")
    return [line.rstrip(_WHITE) for line in (lines if lines[-1] else lines[:-1])]


def from_vocab_txt(
    file: Path, settings: TokenizerSettings, rows: int | None = None
) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """Builds the tokenizer of a `vocab.txt`: BERT's word pieces, ESM's symbols, or single residues.

    BERT's texts are converted to lower case if `do_lower_case` says so; if no file has it, a vocabulary with
    words in upper case keeps case, and a warning is logged. A vocabulary of single residues in upper case
    reads sequences with and without spaces, one token for each residue.

    Args:
      file: the vocabulary.
      settings: the settings in the files beside it.
      rows: the rows of the embedding; see `register_added_tokens`.

    Returns:
      The backend, and the token of each role.

    Raises:
      ModelError: the file cannot be read, or has no unknown token, which word pieces need.
    """
    lines = read_vocab_txt(file)
    settings = _of_lines(settings, lines)
    if settings.family == "esm":
        lines = [line.strip() for line in lines]
    reserved = settings.reserved()
    alphabet = _alphabet(lines, settings, reserved)
    if alphabet is not None:
        return alphabet, settings.named_roles
    vocab = {token: id for id, token in enumerate(lines) if token}
    if settings.family is None:
        reserved = [*reserved, *conventional_tokens(vocab, reserved)]
    filled, holes = insert_added_tokens(vocab, reserved, size=len(lines))
    names = {listed.token.content for listed in reserved}
    ordinary = [token for token in vocab if token not in names]
    backend = _divided(filled, _unknown(vocab, settings, file), ordinary, settings, file)
    register_added_tokens(backend, reserved, rows=rows, plain=holes)
    opening, closing = _ends(backend, settings)
    if opening or closing:
        put_end_tokens(backend, opening, closing)
    return backend, settings.named_roles


def is_residues(ordinary: Iterable[str]) -> bool:
    """Returns whether the ordinary tokens of a vocabulary are all amino acids, and single marks beside them.

    Example:
      >>> from jaxlm.tokenizers._word_pieces import is_residues
      >>> is_residues("LAGVESIKRDTPNQFYMHCWXUBZO"), is_residues([*"LAGVESIKRDTPNQFYMHCW", "##A"])
      (True, False)
    """
    ordinary = set(ordinary)
    return ordinary >= set(AMINO_ACIDS) and all(_SYMBOL.fullmatch(token) for token in ordinary)


def _unknown(vocab: Mapping[str, int], settings: TokenizerSettings, file: Path) -> str:
    names = (settings.named_roles.get("unk", ""), *CONVENTIONAL_NAMES["unk"])
    unk = next((name for name in names if name in vocab), None)
    if unk is None:
        raise ModelError(
            f"{file.name} has no unknown token: expected one of {', '.join(CONVENTIONAL_NAMES['unk'])}"
        )
    return unk


def _divided(
    vocab: dict[str, int], unk: str, ordinary: list[str], settings: TokenizerSettings, file: Path
) -> tokenizers.Tokenizer:
    """A backend that divides texts as the vocabulary requires."""
    if settings.family == "esm":
        return _symbols(vocab, unk, ordinary)
    if is_residues(ordinary):
        backend = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token=unk))
        split_residues(backend)
        return backend
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=unk))
    set_processing(backend, processing_steps("bert", _with_case(settings.values, ordinary, file)))
    return backend


def split_residues(backend: tokenizers.Tokenizer) -> None:
    """Makes a backend read each symbol of a sequence as a token, without change of case or white space."""
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\S"), "removed", invert=True)
    backend.decoder = decoders.Fuse()


def _of_lines(settings: TokenizerSettings, lines: list[str]) -> TokenizerSettings:
    """The settings with a class that fits the vocabulary; without one, the special tokens determine it."""
    if settings.family in ("bert", "esm"):
        return settings
    is_esm = {"<cls>", "<pad>", "<eos>", "<unk>", "<mask>"} <= set(lines) and "[CLS]" not in lines
    return settings._replace(class_name="EsmTokenizer" if is_esm else None)


def _alphabet(
    lines: list[str], settings: TokenizerSettings, reserved: Iterable[ListedToken]
) -> tokenizers.Tokenizer | None:
    """Our own tokenizer of residues, if the vocabulary is its alphabet and no other tokens are named."""
    name = next((name for name, symbols in ALPHABETS.items() if tuple(lines) == symbols), None)
    if name is None or "eos" in settings.denied:
        return None
    return residues_backend(name) if all(listed.token.content in lines for listed in reserved) else None


def _symbols(vocab: dict[str, int], unk: str, ordinary: Iterable[str]) -> tokenizers.Tokenizer:
    """ESM's backend: the longest symbols of the vocabulary, anywhere; text between them is unknown."""
    backend = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token=unk))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.Fuse()
    backend.add_tokens([AddedToken(token, normalized=False) for token in ordinary])
    return backend


def _with_case(values: Mapping[str, Any], ordinary: Iterable[str], file: Path) -> Mapping[str, Any]:
    if "do_lower_case" in values:
        return values
    word = next((token for token in ordinary if _has_case(token)), None)
    if word is None:
        return values
    _tell_case(str(file), word)
    return {**values, "do_lower_case": False}


@functools.cache
def _tell_case(file: str, word: str) -> None:
    LOG.warning(
        "%s: no file says do_lower_case, and the vocabulary has %r: case is kept, which transformers would "
        "lower; say it in tokenizer_config.json",
        *(file, word),
    )


def _has_case(token: str) -> bool:
    word = token.removeprefix("##")
    return word.isalpha() and normalizers.Lowercase().normalize_str(word) != word


def _ends(backend: tokenizers.Tokenizer, settings: TokenizerSettings) -> tuple[str | None, str | None]:
    """The tokens around a text: [CLS] and [SEP]; ESM has <eos> instead of [SEP]."""
    last = "eos" if settings.family == "esm" else "sep"
    named = settings.named_roles
    opening, closing = (
        next((name for name in names if backend.token_to_id(name) is not None), None)
        for names in ([named[role]] if role in named else _usual(role, settings) for role in ("cls", last))
    )
    both = settings.family in ("bert", "esm") or (opening and closing)
    return (opening, closing) if both else (None, None)


def _usual(role: str, settings: TokenizerSettings) -> tuple[str, ...]:
    return CONVENTIONAL_NAMES[role] if settings.family is None and role not in settings.denied else ()
