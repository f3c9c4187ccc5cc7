"""Errors of the disk that name the file they are about."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Gives an `OSError` raised inside the path that was being written, where it names none.

    A full disk is reported by the write, which knows no name.

    Example:
      >>> import errno
      >>> try:
      ...     with writing(Path("metrics.jsonl")):
      ...         raise OSError(errno.ENOSPC, "No space left on device")
      ... except OSError as error:
      ...     print(error)
      [Errno 28] No space left on device: 'metrics.jsonl'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
