"""From the files of a corpus to records, in whatever format they are."""

from jaxlm.data.sources._bytecode import bytecode_fingerprint, bytecode_source
from jaxlm.data.sources._csv import csv_source
from jaxlm.data.sources._disassembly import disassemble
from jaxlm.data.sources._estimate import estimate_records
from jaxlm.data.sources._fasta import fasta_source
from jaxlm.data.sources._files import CorpusFile, Format, find_files
from jaxlm.data.sources._kept_columns import kept_column_types
from jaxlm.data.sources._open import (
    FORMATS_WITH_FIELDS,
    LINES_LOOKED_AT,
    check_document,
    check_fields,
    format_of,
    open_source,
    open_source_with_errors,
    read_files,
    read_files_with_errors,
)
from jaxlm.data.sources._parquet import parquet_source
from jaxlm.data.sources._records import MAX_DOCUMENT, CorpusError, Record, UnreachableError, UnreadableRecord
from jaxlm.data.sources._remote import RemotePath
from jaxlm.data.sources._source_code import python_fingerprint, python_source
from jaxlm.data.sources._text import Document, jsonl_source, text_source, traces_source
from jaxlm.data.sources._versions import file_digest, file_size, file_version, map_concurrently
from jaxlm.data.sources._watch import FileWatch

__all__ = [
    "FORMATS_WITH_FIELDS",
    "LINES_LOOKED_AT",
    "MAX_DOCUMENT",
    "CorpusError",
    "CorpusFile",
    "Document",
    "FileWatch",
    "Format",
    "Record",
    "RemotePath",
    "UnreachableError",
    "UnreadableRecord",
    "bytecode_fingerprint",
    "bytecode_source",
    "check_document",
    "check_fields",
    "csv_source",
    "disassemble",
    "estimate_records",
    "fasta_source",
    "file_digest",
    "file_size",
    "file_version",
    "find_files",
    "format_of",
    "jsonl_source",
    "kept_column_types",
    "map_concurrently",
    "open_source",
    "open_source_with_errors",
    "parquet_source",
    "python_fingerprint",
    "python_source",
    "read_files",
    "read_files_with_errors",
    "text_source",
    "traces_source",
]
