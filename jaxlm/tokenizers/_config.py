"""Which tokenizer a run uses, and the function that makes it."""

import dataclasses
from collections.abc import Iterable
from typing import Literal, get_args

from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers
from jaxlm.tokenizers._fitting import fit_tokenizer
from jaxlm.tokenizers._fixed import bytes_tokenizer, residue_tokenizer
from jaxlm.tokenizers._instructions import MIN_INSTRUCTIONS_VOCAB, train_instructions
from jaxlm.tokenizers._load import load_tokenizer
from jaxlm.tokenizers._residues import Alphabet, Ambiguous
from jaxlm.tokenizers._sentinels import with_sentinels
from jaxlm.tokenizers._subwords import MIN_SUBWORDS_VOCAB, train_subwords
from jaxlm.tokenizers._tokenizer import Tokenizer

ALPHABET_NAMES: tuple[Alphabet, ...] = get_args(Alphabet)
TREATMENTS: tuple[Ambiguous, ...] = get_args(Ambiguous)
TrainedKind = Literal["instructions", "subwords", "bytes", "residues"]
_SMALLEST = {"instructions": MIN_INSTRUCTIONS_VOCAB, "subwords": MIN_SUBWORDS_VOCAB}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Which tokenizer to use.

    Attributes:
      kind: "auto" chooses by the data (traces: instructions, FASTA: residues, text: subwords).
      vocab_size: the largest number of ids in a trained vocabulary (instructions, subwords).
      alphabet: the symbols of residues: ESM's 33 or cortex's 32.
      ambiguous: how to read the residues X, B, Z, J, U and O: as symbols of their own if the alphabet has
        them ("keep"), as the unknown residue, or as an error.
      path: a tokenizer.json, or a folder with one, which is used instead of training a tokenizer.
      rows: the rows of the embedding for a loaded tokenizer; added tokens beyond them are dropped (see
        `fit_tokenizer`). None: none is dropped.
      sentinels: how many sentinels `<extra_id_0>`, `<extra_id_1>`, ... are added, for spans that an
        encoder-decoder restores; not for residues and instructions.

    Raises:
      ConfigError: a field is out of range, or two fields contradict each other.

    Example:
      >>> from jaxlm.tokenizers import TokenizerConfig
      >>> TokenizerConfig(kind="subwords", vocab_size=8192).vocab_size
      8192
    """

    kind: Literal["auto", "instructions", "subwords", "bytes", "residues"] = "auto"
    vocab_size: int = 4096
    alphabet: Alphabet = "esm"
    ambiguous: Ambiguous = "keep"
    path: str | None = None
    rows: int | None = None
    sentinels: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, "tokenizer ")
        kinds = ("auto", *get_args(TrainedKind))
        for name, words in (("kind", kinds), ("alphabet", ALPHABET_NAMES), ("ambiguous", TREATMENTS)):
            if getattr(self, name) not in words:
                raise ConfigError(
                    f"tokenizer {name} must be one of {', '.join(words)}: got {getattr(self, name)!r}"
                )
        if self.path is not None and self.kind != "auto":
            raise ConfigError(
                f"a tokenizer is either loaded from a path or made: got path={self.path!r} "
                f"and kind={self.kind!r}; leave one out"
            )
        of_residues = self.path is None and self.kind in ("auto", "residues")
        if (self.alphabet, self.ambiguous) != (ALPHABET_NAMES[0], TREATMENTS[0]) and not of_residues:
            raise ConfigError(
                f"alphabet and ambiguous are of tokenizers of kind 'residues': got alphabet="
                f"{self.alphabet!r}, ambiguous={self.ambiguous!r} with kind={self.kind!r}, path={self.path!r}"
            )
        if self.rows is not None and self.rows < 1:
            raise ConfigError(f"tokenizer rows are at least 1: got {self.rows}")
        if self.sentinels < 0 or (self.sentinels and self.kind in ("residues", "instructions")):
            raise ConfigError(
                "sentinels are some or none, in texts of subwords or bytes: "
                f"got {self.sentinels} with kind={self.kind!r}"
            )
        smallest = _SMALLEST.get(self.kind, 1)
        if self.vocab_size < smallest:
            raise ConfigError(
                f"a tokenizer of kind {self.kind!r} needs vocab_size >= {smallest}: got {self.vocab_size}"
            )


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig, kind: TrainedKind) -> Tokenizer:
    """Returns the tokenizer of a config: loaded, trained on `texts`, or fixed.

    Args:
      texts: the training texts; not read for bytes, residues, or a path.
      config: which tokenizer.
      kind: the kind that "auto" means for these data.

    Returns:
      A `Tokenizer`.

    Raises:
      JaxlmError: as the training or the loading.
      ModelNotFoundError: there is no tokenizer at the path.

    Example:
      >>> from jaxlm.tokenizers import TokenizerConfig, train_tokenizer
      >>> train_tokenizer([], TokenizerConfig(), "residues").vocab_size
      33
    """
    tokenizer = _without_sentinels(texts, config, kind)
    return with_sentinels(tokenizer, config.sentinels) if config.sentinels else tokenizer


def _without_sentinels(texts: Iterable[str], config: TokenizerConfig, kind: TrainedKind) -> Tokenizer:
    if config.path is not None:
        tokenizer = load_tokenizer(config.path, rows=config.rows)
        return tokenizer if config.rows is None else fit_tokenizer(tokenizer, config.rows).tokenizer
    kind = kind if config.kind == "auto" else config.kind
    if kind == "bytes":
        return bytes_tokenizer()
    if kind == "residues":
        return residue_tokenizer(config.alphabet, config.ambiguous)
    train = {"instructions": train_instructions, "subwords": train_subwords}[kind]
    return train(texts, vocab_size=config.vocab_size)
