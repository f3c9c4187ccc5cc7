"""Files that are there whole or not at all: written beside their place, flushed to the disk, then renamed."""

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Puts what `write` writes into `path`; a reader, or a crash, meets the old file or the new one.

    Args:
      path: the file; its folder exists.
      write: called with a path beside it, which it creates.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        write(partial)
        partial.chmod(mode)  # safetensors makes its files unreadable to others, whatever the umask says
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)  # the name as well as the bytes
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
