"""Whole files, digests of what they hold, errors of the disk in one form, and records to and from JSON."""

from jaxlm.io._atomic import clear_partials, flush, is_partial, write_atomically, write_bytes, write_text
from jaxlm.io._digests import read_sealed, verify_digests, write_digests
from jaxlm.io._errors import ReadError, WriteError, reading_from, system_errno, writing
from jaxlm.io._fields import check_numbers, check_types, fits, spelled
from jaxlm.io._filesystems import open_filesystem, reason, shown_url, split_root, split_url
from jaxlm.io._home import cache_root, expand_home
from jaxlm.io._json import parse_json
from jaxlm.io._locks import try_lock, wait_for_lock
from jaxlm.io._records import differences, flat_fields, record_from_dict, record_to_dict
from jaxlm.io._references import import_reference
from jaxlm.io._remote_store import RemoteStore
from jaxlm.io._sealed import SEAL, DamagedError, check_file, seal, seal_file, unseal
from jaxlm.io._store import LocalStore, Store, open_store
from jaxlm.io._strays import is_stray

__all__ = [
    "SEAL",
    "DamagedError",
    "LocalStore",
    "ReadError",
    "RemoteStore",
    "Store",
    "WriteError",
    "cache_root",
    "check_file",
    "check_numbers",
    "check_types",
    "clear_partials",
    "differences",
    "expand_home",
    "fits",
    "flat_fields",
    "flush",
    "import_reference",
    "is_partial",
    "is_stray",
    "open_filesystem",
    "open_store",
    "parse_json",
    "read_sealed",
    "reading_from",
    "reason",
    "record_from_dict",
    "record_to_dict",
    "seal",
    "seal_file",
    "shown_url",
    "spelled",
    "split_root",
    "split_url",
    "system_errno",
    "try_lock",
    "unseal",
    "verify_digests",
    "wait_for_lock",
    "write_atomically",
    "write_bytes",
    "write_digests",
    "write_text",
    "writing",
]
