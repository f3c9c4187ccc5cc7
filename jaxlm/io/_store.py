"""Stores with atomic writes: a folder, or a prefix of an object store."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from jaxlm.errors import UsageError, WorkError
from jaxlm.io._atomic import flush, is_abandoned, is_partial, write_bytes
from jaxlm.io._errors import WriteError, reading_from, writing
from jaxlm.io._filesystems import open_filesystem, shown_url, split_url
from jaxlm.io._locks import try_lock
from jaxlm.io._remote_store import RemoteStore

# The ending of partial files of earlier versions, and that of lock files.
NEW, LOCK = ".new", ".lock"


class LocalStore:
    """A local folder as a store of files, with the same methods as `RemoteStore`.

    A file is written under another name, flushed to the disk and renamed, so that readers see only whole
    files.

    Attributes:
      place: the path of the folder, as error messages show it.

    Example:
      >>> from jaxlm.io import LocalStore
      >>> import tempfile
      >>> store = LocalStore(tempfile.mkdtemp())
      >>> store.put("parts/a", b"whole")
      >>> store.names(), store.read("parts/a")
      ({'parts/a'}, b'whole')
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.place = str(folder)
        self._folder, self._was_there = Path(folder), False

    def names(self) -> set[str]:
        """Returns the names of all complete files, as paths relative to the store; a missing store has none.

        Raises:
          UsageError: the path of the store is a file.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise UsageError(f"{self.place} is a file: a job needs a folder of its own")
        paths = (path for path in self._folder.rglob("*") if path.is_file() and not _is_own(path))
        return {path.relative_to(self._folder).as_posix() for path in paths}

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file.

        Raises:
          ReadError: the file is missing or cannot be read.
        """
        with reading_from(self._folder / name):
            return (self._folder / name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        """Writes a whole file atomically; an existing file is replaced.

        Args:
          name: the path of the file relative to the store. Missing folders are made.
          data: the content of the file.

        Raises:
          WriteError: the file cannot be written; the error names the file.
          WorkError: the folder of the store was removed since the first write.
        """
        path = self._folder / name
        try:
            with writing(path):
                self._make(path.parent)
            write_bytes(path, data)
        except WriteError as error:
            if error.errno != errno.ENOENT:
                raise
            raise _gone(path.parent) from error

    def clear(self) -> None:
        """Removes the partial files that killed processes of this machine have left in the store.

        A partial file is an unfinished write under another name. Partial files of running processes and of
        other machines are kept."""
        for path in [path for path in self._folder.rglob(".*") if _is_half(path) and is_abandoned(path)]:
            with contextlib.suppress(OSError):
                os.unlink(path)

    @contextlib.contextmanager
    def one_process(self, name: str) -> Iterator[None]:
        """A context manager that locks a name for this process until its block, or the process, ends.

        The locked file is never removed. Otherwise a process that waits for the file and a process that makes
        it anew could both hold the name.

        Raises:
          UsageError: another process holds the name.
          WriteError: the folder cannot be written.
        """
        path = self._folder / f".{name}{LOCK}"
        with writing(path):
            self._make(self._folder)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Without locks, two processes of one job write the same files.
            if not try_lock(handle):
                raise UsageError(
                    f"another process is at work in {self.place} ({name}): wait for it, or name another "
                    f"folder"
                )
            yield
        finally:
            os.close(handle)

    def _check_there(self) -> None:
        """Raises an error if the folder was removed: a new one would hold only a part of the job."""
        if self._was_there and not self._folder.is_dir():
            raise _gone(self._folder)

    def _make(self, folder: Path) -> None:
        self._check_there()
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            flush(path.parent)
        self._was_there = True


Store = LocalStore | RemoteStore


def open_store(place: str | os.PathLike[str]) -> Store:
    """Returns an object that lists, reads and writes the files below a local path or a URL.

    Args:
      place: the path of a folder, which need not exist, or a URL (see `open_filesystem`).

    Raises:
      UsageError: the URL cannot be opened.

    Example:
      >>> from jaxlm.io import open_store
      >>> type(open_store("runs/scores")).__name__, type(open_store("memory://scores")).__name__
      ('LocalStore', 'RemoteStore')
    """
    text = os.fspath(place)
    url = split_url(text)
    if url is None:
        return LocalStore(text)
    scheme, rest = url
    if scheme == "file":
        return LocalStore(rest)
    return RemoteStore(shown_url(text).rstrip("/"), *open_filesystem(text))


def _gone(folder: Path) -> WorkError:
    return WorkError(
        f"{folder} was removed or renamed while the job ran, and what it held with it: run the same command "
        f"again"
    )


def _is_own(path: Path) -> bool:
    return _is_half(path) or (path.name.startswith(".") and path.name.endswith(LOCK))


def _is_half(path: Path) -> bool:
    return is_partial(path) or (path.name.startswith(".") and path.name.endswith(NEW))
