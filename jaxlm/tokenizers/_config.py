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
    """Which tokenizer to use, and how to make it.

    Attributes:
      kind: the kind of tokenizer. "auto" chooses by the data: "instructions" for bytecode and files of
        instruction traces, "residues" for FASTA, and "subwords" for text.
      vocab_size: the largest number of ids in a trained vocabulary. It counts only for "instructions" and
        "subwords"; other vocabularies are fixed.
      alphabet: the symbols of the kind "residues": the 33 of ESM's vocabulary, or the 32 of the vocabulary of
        the library cortex.
      ambiguous: how the residues X, B, Z, J, U and O are read: "keep" as symbols of their own if the alphabet
        has them, "unknown" as the unknown residue, and "error" as an error.
      path: the path of a tokenizer.json, or of a folder that holds one, which is used instead of a new
        tokenizer. None: a tokenizer of the given kind is made.
      rows: the number of rows of the embedding with which a loaded tokenizer is used. Added tokens whose ids
        have no row are dropped (see `fit_tokenizer`). None: no token is dropped.
      sentinels: the number of tokens `<extra_id_0>`, `<extra_id_1>` and so on that are added. Each stands for
        a span that is cut out of a text and that an encoder-decoder restores. Must be 0 for residues and
        instructions.

    Raises:
      ConfigError: a field is out of range, or two fields contradict each other.

    Example:
      >>> from jaxlm.tokenizers import TokenizerConfig, train_tokenizer
      >>> config = TokenizerConfig(kind="bytes", sentinels=2)
      >>> train_tokenizer([], config, "subwords").encode("a<extra_id_1>").tolist()
      [97, 261]
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
    """Returns the tokenizer that a config describes: a loaded one, one trained on texts, or a fixed one.

    Args:
      texts: the training texts. They are not read for the kinds "bytes" and "residues", nor if the config has
        a path.
      config: which tokenizer to return.
      kind: the kind that is made if the config has the kind "auto".

    Returns:
      The `Tokenizer`.

    Raises:
      JaxlmError: the texts do not suit the kind, or the file at the path cannot be read; see
        `train_subwords`, `train_instructions` and `load_tokenizer`.
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
