"""Which corpus a run reads, and how it is cut up."""

import dataclasses
from typing import get_args

from jaxlm.data._files import Format
from jaxlm.data._packing import Long
from jaxlm.data._text import Document


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which corpus to read, and how to divide and pack it.

    Attributes:
        paths: files, folders or globs; none is the embedded corpus, this Python's standard library as
            bytecode.
        format: how to read every file; None takes it from each ending.
        document: of a text file, whether a line or the whole file is one document.
        field: the JSONL field or the Parquet column that holds the text.
        row_length: tokens of a packed row.
        long: what to do with records longer than a row.
        validation_share: share of the records (modules, for bytecode) held out for validation.
        test_share: share of the records held out for the test.
        deduplicate: whether of records with the same text only the first is kept.

    Raises:
        ValueError: a field is out of range, or two contradict each other.

    Example:
        >>> DataConfig(paths=("tales.txt",), document="file").row_length
        512
    """

    paths: tuple[str, ...] = ()
    format: Format | None = None
    document: Document = "line"
    field: str = "text"
    row_length: int = 512
    long: Long = "split"
    validation_share: float = 0.05
    test_share: float = 0.05
    deduplicate: bool = True

    def __post_init__(self) -> None:
        self._check_words()
        if self.row_length < 1:
            raise ValueError(f"row_length: expected at least 1, got {self.row_length}")
        shares = {"validation_share": self.validation_share, "test_share": self.test_share}
        for name, share in shares.items():
            if not 0 < share < 1:
                raise ValueError(f"{name}: expected a share between 0 and 1, got {share}")
        if sum(shares.values()) >= 1:
            raise ValueError(
                f"validation_share + test_share leave nothing to train on: {sum(shares.values()):g} >= 1"
            )

    def _check_words(self) -> None:
        for name, words in (("format", Format), ("document", Document), ("long", Long)):
            value = getattr(self, name)
            if value not in get_args(words) and not (name == "format" and value is None):
                raise ValueError(f"{name}: expected one of {', '.join(get_args(words))}, got {value!r}")
        if not self.paths and self.format is not None:
            raise ValueError(
                f"format {self.format!r} without paths: the embedded corpus has its own; give paths"
            )
        if self.document == "file" and self.format not in (None, "text"):
            raise ValueError(
                f"document 'file' is for text, not for format {self.format!r}; leave one of them out"
            )
        if isinstance(self.paths, str) or not all(self.paths):
            raise ValueError(f"paths: expected a tuple of paths, none of them empty, got {self.paths!r}")
