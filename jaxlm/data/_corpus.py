"""The corpus of a config: its records, their fingerprint, and the kind of tokenizer that suits them."""

import functools
import hashlib
import itertools
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from jaxlm.data._config import DataConfig
from jaxlm.data.sources import (
    LINES_LOOKED_AT,
    CorpusError,
    CorpusFile,
    FileWatch,
    Format,
    Record,
    bytecode_fingerprint,
    bytecode_source,
    check_document,
    check_fields,
    file_size,
    find_files,
    format_of,
    map_concurrently,
    python_fingerprint,
    python_source,
    read_files,
)

# Part of every fingerprint: increase it when a source yields other records from the same file.
SOURCE_VERSION = 1

TokenizerKind = Literal["instructions", "subwords", "bytes", "residues"]
KIND_OF_FORMAT: dict[Format, TokenizerKind] = {"fasta": "residues", "traces": "instructions"}


class Corpus(NamedTuple):
    """A corpus whose files were looked up but not read.

    Attributes:
      records: returns an iterator over every record; each call starts again.
      kind: the kind of tokenizer that "auto" means for this corpus.
      fingerprint: SHA-256 of everything that the records depend on.
      notes: lines for the log that describe the corpus.
      left_out: counts what could not be made a record, while `records` is read: "modules".
      check: raises `CorpusError` if the records that were read may not be those of the fingerprint.
    """

    records: Callable[[], Iterable[Record]]
    kind: TokenizerKind
    fingerprint: str
    notes: list[str]
    left_out: Counter[str]
    check: Callable[[], None] = lambda: None


def find_corpus(config: DataConfig) -> Corpus:
    """Returns the corpus of a config: of its paths, or an embedded one if it has no paths.

    Args:
      config: names the paths and how to read them.

    Returns:
      The corpus; it is read when `records` is called.

    Raises:
      CorpusError: a path is missing, unreadable or of an unknown format.
    """
    return _files_corpus(config) if config.paths else _embedded_corpus(config)


def _embedded_corpus(config: DataConfig) -> Corpus:
    if config.group_field is not None or config.label_field is not None:
        raise CorpusError("group_field and label_field are of JSONL, CSV and Parquet; give paths of some")
    kind: TokenizerKind
    if config.corpus == "bytecode":
        source, fingerprint, kind = bytecode_source, bytecode_fingerprint(), "instructions"
        content = "disassembled; one record a function"
    else:
        source, fingerprint, kind = python_source, python_fingerprint(), "subwords"
        content = "as text; one record a module"
    # The corpus is small: it is held, because it takes longer to make it again for tokenizer and caches.
    left_out: Counter[str] = Counter()
    records = functools.cache(lambda: list(source(left_out=left_out)))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    note = f"corpus: the standard library of this {python}, {content}"
    return Corpus(records, kind, fingerprint, [note], left_out)


def _files_corpus(config: DataConfig) -> Corpus:
    files = find_files(config.paths, config.format)
    # Before anything is read, so that every later change is detected.
    watch = FileWatch([file.path for file in files])
    check_document(files, config.document)
    fields = tuple(
        dict.fromkeys(name for name in (config.group_field, config.label_field) if name is not None)
    )
    check_fields(files, fields)
    if config.format is None and config.document == "line":
        files = [file._replace(format=format_of(file, config.max_document)) for file in files]

    def records() -> Iterator[Record]:
        return read_files(
            files,
            document=config.document,
            field=config.field,
            fields=fields,
            max_document=config.max_document,
        )

    formats = sorted({file.format for file in files})
    size = sum(map_concurrently(file_size, [file.path for file in files]))
    plural = "s" if len(files) > 1 else ""
    note = f"corpus: {len(files):,} file{plural} ({', '.join(formats)}), {size / 1e6:,.1f} MB"
    fingerprint = _fingerprint(files, watch.digests(), config)
    return Corpus(records, _kind(files, records), fingerprint, [note], Counter(), watch.check)


def _fingerprint(files: list[CorpusFile], digests: list[str], config: DataConfig) -> str:
    read = [(file.name, file.format, digest) for file, digest in zip(files, digests, strict=True)]
    described = json.dumps([SOURCE_VERSION, config.document, config.field, read])
    return hashlib.sha256(described.encode("utf-8", "surrogateescape")).hexdigest()


def _kind(files: list[CorpusFile], records: Callable[[], Iterable[Record]]) -> TokenizerKind:
    known: set[TokenizerKind] = {KIND_OF_FORMAT.get(file.format, "subwords") for file in files}
    kinds = sorted(known)
    if len(kinds) > 1:
        raise CorpusError(
            f"the corpus mixes files for different tokenizers ({' and '.join(kinds)}); give files of one "
            f"kind, or one format for all"
        )
    if kinds == ["subwords"] and files[0].format != "text":
        # Several records, as for a text file: a function of one instruction holds no [NEXT].
        first = itertools.islice(records(), LINES_LOOKED_AT)
        return "instructions" if any("[NEXT]" in record.text.split() for record in first) else "subwords"
    return kinds[0]
