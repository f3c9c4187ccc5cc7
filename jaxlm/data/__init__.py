"""Host side: sources -> records -> a token cache -> packed batches."""

from jaxlm.data._annotations import where_of
from jaxlm.data._batches import Batch, Batches, PackedPiece, eval_batches, gather_rows, unpack
from jaxlm.data._bytecode import bytecode_fingerprint, bytecode_source
from jaxlm.data._cache import TokenCache, build_cache
from jaxlm.data._cache_writer import CacheWriter, Counts, Ends
from jaxlm.data._capacity import masked_capacity
from jaxlm.data._compression import compressed_bits_per_byte
from jaxlm.data._config import DataConfig
from jaxlm.data._csv import csv_source
from jaxlm.data._disassembly import disassemble
from jaxlm.data._estimate import estimate_records
from jaxlm.data._fasta import fasta_source
from jaxlm.data._files import CorpusFile, find_files
from jaxlm.data._kept import kept_types
from jaxlm.data._labels import labelled
from jaxlm.data._open import WITH_FIELDS, check_fields, open_source, read_files
from jaxlm.data._packing import PackingPlan, plan_packing
from jaxlm.data._parquet import parquet_source
from jaxlm.data._prepare import Prepared, prepare, split_texts
from jaxlm.data._records import MAX_DOCUMENT, CorpusError, Record, UnreachableError, Unread
from jaxlm.data._remote import RemotePath
from jaxlm.data._similarity import similar_clusters
from jaxlm.data._source_code import python_fingerprint, python_source
from jaxlm.data._splits import Splits, plan_splits
from jaxlm.data._text import jsonl_source, text_source, traces_source
from jaxlm.data._versions import file_digest, file_version, of_each

__all__ = [
    "MAX_DOCUMENT",
    "WITH_FIELDS",
    "Batch",
    "Batches",
    "CacheWriter",
    "CorpusError",
    "CorpusFile",
    "Counts",
    "DataConfig",
    "Ends",
    "PackedPiece",
    "PackingPlan",
    "Prepared",
    "Record",
    "RemotePath",
    "Splits",
    "TokenCache",
    "UnreachableError",
    "Unread",
    "build_cache",
    "bytecode_fingerprint",
    "bytecode_source",
    "check_fields",
    "compressed_bits_per_byte",
    "csv_source",
    "disassemble",
    "estimate_records",
    "eval_batches",
    "fasta_source",
    "file_digest",
    "file_version",
    "find_files",
    "gather_rows",
    "jsonl_source",
    "kept_types",
    "labelled",
    "masked_capacity",
    "of_each",
    "open_source",
    "parquet_source",
    "plan_packing",
    "plan_splits",
    "prepare",
    "python_fingerprint",
    "python_source",
    "read_files",
    "similar_clusters",
    "split_texts",
    "text_source",
    "traces_source",
    "unpack",
    "where_of",
]
