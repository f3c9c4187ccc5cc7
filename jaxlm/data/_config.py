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

    A group is a set of records that must stay in one split, such as the functions of a module. A group or a
    label is the value of a field, or the part of a text that the first parenthesis of a pattern (a regular
    expression) matches. The pattern is searched for in the field if the field is named too, and otherwise in
    the record's id and description (a FASTA header; file and line of a text).

    Attributes:
      paths: files, folders or glob patterns. If there are none, an embedded corpus is read, see `corpus`.
      corpus: which embedded corpus is read if `paths` is empty: this Python's standard library as "bytecode",
        with one record for each function, or as "source", with one record for each module.
      format: the format in which every file is read. None: the format follows from each file's ending.
      document: "line" makes a document of each line of a text file, "file" one document of the whole file.
      field: the JSONL field or the column (CSV, Parquet) that holds the text.
      row_length: the number of tokens in a packed row, the sequence length of the model's input.
      long: what happens to records longer than a row: "split" divides them into pieces, "truncate" keeps the
        first `row_length` tokens.
      ends: whether the tokenizer's opening and closing tokens stand around each record; around the texts of
        an encoder-decoder stand the tokens that the tokenizer's file puts there.
      validation_share: the share, from 0 to 1, of the groups held out for validation. Records without a group
        are grouped by equal text; in an embedded corpus a group is a module.
      test_share: the share of the groups held out for the test.
      split: "record" assigns each group by a hash of its name, and each record without a group by a hash of
        its text. "similarity" also keeps similar records, and records that a chain of similar records
        connects, in one split.
      similarity: the share at which two records count as similar: the number of distinct k-mers that both
        have, divided by the number of distinct k-mers of the record with fewer. A k-mer is a run of four
        residues, or of five words in other corpora. Read only for `split="similarity"`.
      group_pattern: regular expression whose first parenthesis matches the name of the record's group. None:
        no pattern is searched for.
      group_field: the JSONL field or the column that holds the name of the group. None: no field is read.
      label_pattern: regular expression whose first parenthesis matches the record's label. None: no pattern
        is searched for.
      label_field: the JSONL field or the column that holds the label. None: no field is read. Without a
        pattern and a field, records have no labels.
      label_kind: "number" if labels are numbers, "class" if they are names of classes; "auto" decides by the
        first label.
      window: the number of characters of each record that are kept, an odd number: the character whose
        position `center_pattern` finds, and equally many on both sides of it. Near the start or end of the
        record fewer are kept. 0: the whole text is kept. The splits and duplicates are always decided by the
        whole text.
      center_pattern: regular expression whose first parenthesis matches the position of the window's center
        in the text, counted from 1. None: texts are not cropped.
      max_document: the largest size of a record in its decompressed file, in bytes. For JSONL and CSV the
        size of the whole line counts. A longer record is an error.
      deduplicate: whether only the first of several records with the same text is kept. The kept record gets
        the mean of all their labels, or, for classes, the most frequent label.

    Raises:
      ConfigError: a field is out of range, or two fields contradict each other.

    Example:
      >>> from jaxlm.data import DataConfig
      >>> config = DataConfig(paths=("variants.fasta",), label_pattern=r"fitness=(\S+)", row_length=256)
      >>> config.is_labelled, config.is_grouped
      (True, False)
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
