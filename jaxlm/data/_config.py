"""Which corpus a run reads, and how it is divided, labelled and packed."""

import dataclasses
import re
from typing import Literal, get_args

from jaxlm.data.packing import LongRecords
from jaxlm.data.sources import MAX_DOCUMENT, Document, Format
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers

Embedded = Literal["bytecode", "source"]
DivideBy = Literal["record", "similarity"]
LabelKind = Literal["auto", "number", "class"]
_WORDS = {
    "corpus": Embedded,
    "format": Format,
    "document": Document,
    "long": LongRecords,
    "split": DivideBy,
    "label_kind": LabelKind,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    r"""Which corpus to read, and how to divide, label and pack it.

    A pattern is searched for in the field, if one is given, and otherwise in the record's id and description
    (a FASTA header; file and line of a text). The result is what the pattern's first group matches.

    Attributes:
      paths: files, folders or glob patterns; without any, an embedded corpus is read.
      corpus: which embedded corpus: this Python's standard library as bytecode, one record a function, or as
        source code, one record a module.
      format: how to read every file; None takes it from each ending.
      document: whether each line of a text file is a document, or the whole file is one.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      row_length: tokens of a packed row.
      long: what to do with records longer than a row.
      ends: whether the tokenizer's opening and closing tokens stand around each record; around the texts of
        an encoder-decoder stand the tokens that the tokenizer's file puts there.
      validation_share: share of the records (modules, for an embedded corpus) held out for validation.
      test_share: share of the records held out for the test.
      split: "record" assigns each record or group by a hash of its content; "similarity" keeps similar
        records, and records linked by similar ones, in one split.
      similarity: two records are similar if they share this part of the distinct k-mers of the one with
        fewer (runs of four residues, or of five words in other corpora).
      group_pattern: regular expression whose first group is the record's group; a group stays in one split.
      group_field: the JSONL field or the column that holds the group.
      label_pattern: regular expression whose first group is the record's label.
      label_field: the JSONL field or the column that holds the label.
      label_kind: whether labels are numbers or names of classes; "auto" decides by the first label.
      window: how many characters of each record are kept, an odd number: half of them before and half after
        the character that `center_pattern` finds, fewer at the record's ends; 0 keeps all. The splits and
        duplicates are still decided by the whole text.
      center_pattern: regular expression whose first group is the position of a character, counted from 1.
      max_document: the most bytes of a record in its file, decompressed; for JSONL and CSV, of its line. A
        longer record is an error.
      deduplicate: whether only the first of several records with the same text is kept; its label is the
        mean of their labels (for classes, the most frequent).

    Raises:
      ConfigError: a field is out of range, or two contradict each other.

    Example:
      >>> from jaxlm.data import DataConfig
      >>> DataConfig(paths=("tales.txt",), document="file").row_length
      512
      >>> DataConfig(paths=("variants.fasta",), label_pattern=r"fitness=(\S+)").label_kind
      'auto'
    """

    paths: tuple[str, ...] = ()
    corpus: Embedded = "bytecode"
    format: Format | None = None
    document: Document = "line"
    field: str = "text"
    row_length: int = 512
    long: LongRecords = "split"
    ends: bool = False
    validation_share: float = 0.05
    test_share: float = 0.05
    split: DivideBy = "record"
    similarity: float = 0.2
    group_pattern: str | None = None
    group_field: str | None = None
    label_pattern: str | None = None
    label_field: str | None = None
    label_kind: LabelKind = "auto"
    window: int = 0
    center_pattern: str | None = None
    max_document: int = MAX_DOCUMENT
    deduplicate: bool = True

    @property
    def is_labelled(self) -> bool:
        """Whether the records have labels."""
        return self.label_pattern is not None or self.label_field is not None

    @property
    def is_grouped(self) -> bool:
        """Whether the config names the groups that a split keeps together."""
        return self.group_pattern is not None or self.group_field is not None

    def __post_init__(self) -> None:
        check_numbers(self)
        self._check_words()
        self._check_paths()
        self._check_patterns()
        if self.row_length < 1:
            raise ConfigError(f"row_length: expected at least 1, got {self.row_length}")
        if self.max_document < 1:
            raise ConfigError(f"max_document: expected at least 1, got {self.max_document}")
        shares = {"validation_share": self.validation_share, "test_share": self.test_share}
        for name, share in shares.items():
            if not 0 < share < 1:
                raise ConfigError(f"{name}: expected a share between 0 and 1, got {share}")
        if not 0 < self.similarity <= 1:
            raise ConfigError(f"similarity: expected a share above 0 and at most 1, got {self.similarity}")
        if sum(shares.values()) >= 1:
            raise ConfigError(
                f"validation_share + test_share leave nothing to train on: {sum(shares.values()):g} >= 1"
            )

    def _check_words(self) -> None:
        for name, words in _WORDS.items():
            value = getattr(self, name)
            if value not in get_args(words) and not (name == "format" and value is None):
                raise ConfigError(f"{name}: expected one of {', '.join(get_args(words))}, got {value!r}")

    def _check_paths(self) -> None:
        if not self.paths and self.format is not None:
            raise ConfigError(
                f"format {self.format!r} without paths: the embedded corpus has its own; give paths"
            )
        if self.document == "file" and self.format not in (None, "text"):
            raise ConfigError(
                f"document 'file' is for text, not for format {self.format!r}; leave one of them out"
            )
        if isinstance(self.paths, str) or not all(self.paths):
            raise ConfigError(f"paths: expected a tuple of paths, none of them empty, got {self.paths!r}")

    def _check_patterns(self) -> None:
        for name in ("group_pattern", "label_pattern", "center_pattern"):
            if (pattern := getattr(self, name)) is not None:
                _check_pattern(name, pattern)
        if self.is_grouped and self.split == "similarity":
            raise ConfigError(
                "split 'similarity' makes its own groups: got group_pattern or group_field as well; leave "
                "one out"
            )
        if (self.window > 0) != (self.center_pattern is not None) or self.window % 2 != (self.window > 0):
            raise ConfigError(
                f"window: expected an odd number of characters with center_pattern, or 0 without, got "
                f"{self.window} and center_pattern={self.center_pattern!r}"
            )
        if self.label_kind != "auto" and not self.is_labelled:
            raise ConfigError(
                f"label_kind {self.label_kind!r} without labels; give label_pattern or label_field"
            )


def _check_pattern(name: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"{name}: {pattern!r} is no regular expression ({error})") from error
    if not groups:
        raise ConfigError(
            f"{name}: expected a regular expression with a group in parentheses, got {pattern!r}"
        )
