"""Files that are there whole or not at all, and errors of the disk in one form."""

from jaxlm.io._errors import WriteError, system_errno, writing
from jaxlm.io._whole import clear_partials, is_partial, write_text, write_whole

__all__ = [
    "WriteError",
    "clear_partials",
    "is_partial",
    "system_errno",
    "write_text",
    "write_whole",
    "writing",
]
