"""Files that are there whole or not at all, digests of what they hold, and errors of the disk in one form."""

from jaxlm.io._digests import damage, read_sealed, write_digests
from jaxlm.io._errors import ReadError, WriteError, system_errno, writing
from jaxlm.io._home import expand_home
from jaxlm.io._json import parse_json
from jaxlm.io._locks import try_lock
from jaxlm.io._references import import_reference
from jaxlm.io._sealed import SEAL, DamagedError, check_file, seal, seal_file, unseal
from jaxlm.io._strays import is_stray
from jaxlm.io._whole import clear_partials, flush, is_partial, write_text, write_whole

__all__ = [
    "SEAL",
    "DamagedError",
    "ReadError",
    "WriteError",
    "check_file",
    "clear_partials",
    "damage",
    "expand_home",
    "flush",
    "import_reference",
    "is_partial",
    "is_stray",
    "parse_json",
    "read_sealed",
    "seal",
    "seal_file",
    "system_errno",
    "try_lock",
    "unseal",
    "write_digests",
    "write_text",
    "write_whole",
    "writing",
]
