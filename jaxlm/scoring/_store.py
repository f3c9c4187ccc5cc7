"""Where a job's files lie: a folder or an object store, in which a file is there whole or not at all."""

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from jaxlm import data, io
from jaxlm.errors import UsageError, WorkError
from jaxlm.scoring._remote_store import RemoteStore

NEW, LOCK = ".new", ".lock"
# Files that this process is writing, and how many it has begun.
_writing: set[Path] = set()
_begun = itertools.count()


class LocalStore:
    """A folder of this machine's; a file is written beside its place, synced, renamed, and its folder synced.

    Attributes:
      place: the folder's path, for messages.

    Example:
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
        """Returns the files there are, by their path within the store; those half written are not among them.

        Raises:
          UsageError: if the place is a file.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise UsageError(f"{self.place} is a file: a job needs a folder of its own")
        found = (path for path in self._folder.rglob("*") if path.is_file() and not _is_own(path))
        return {path.relative_to(self._folder).as_posix() for path in found}

    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""
        return (self._folder / name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        """Writes a file so that whatever happens it is there in full or as it was before.

        Raises:
          WriteError: if it cannot be written; names it.
          WorkError: if the folder was there and is gone.
        """
        path = self._folder / name
        # A name of this put's own: another one may be writing the same bytes to the same place.
        owner = f"{os.uname().nodename}.{os.getpid()}"
        new = path.with_name(f".{path.name}.{next(_begun)}.{owner}{NEW}")
        _writing.add(new)
        try:
            with io.writing(path):
                self._make(path.parent)
                _write(new, data)
                os.replace(new, path)
                io.flush(path.parent)
        except io.WriteError as error:
            if error.errno != errno.ENOENT:
                raise
            raise _gone(path.parent) from error
        finally:
            _writing.discard(new)
            with contextlib.suppress(OSError):
                os.unlink(new)

    def clear(self) -> None:
        """Removes what killed processes of this machine left half written; others' may be at work."""
        for path in [path for path in self._folder.rglob(f".*{NEW}") if _is_abandoned(path)]:
            with contextlib.suppress(OSError):
                os.unlink(path)

    @contextlib.contextmanager
    def one_process(self, name: str) -> Iterator[None]:
        """Keeps a name to this process until the end of the block, or of the process.

        The file that is locked stays: were it removed, a process that waits at it and one that makes it anew
        would both have the name.

        Raises:
          UsageError: if another process has it.
          WriteError: if the folder cannot be written.
        """
        path = self._folder / f".{name}{LOCK}"
        with io.writing(path):
            self._make(self._folder)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Without locks, two processes of one job write the same files.
            if not io.try_lock(handle):
                raise UsageError(
                    f"another process is at work in {self.place} ({name}): wait for it, or name another "
                    f"folder"
                )
            yield
        finally:
            os.close(handle)

    def _check_there(self) -> None:
        """Refuses to make the folder a second time: what it held is gone, and half a job is none."""
        if self._was_there and not self._folder.is_dir():
            raise _gone(self._folder)

    def _make(self, folder: Path) -> None:
        self._check_there()
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for one in missing:
            io.flush(one.parent)
        self._was_there = True


Store = LocalStore | RemoteStore


def open_store(place: str | os.PathLike[str]) -> Store:
    """Returns the store at a path or URL.

    Args:
      place: a folder, which need not exist, or a URL (see `data.open_filesystem`).

    Raises:
      ValueError: if the URL cannot be opened.

    Example:
      >>> type(open_store("runs/scores")).__name__, type(open_store("memory://scores")).__name__
      ('LocalStore', 'RemoteStore')
    """
    text = os.fspath(place)
    url = data.split_url(text)
    if url is None:
        return LocalStore(text)
    scheme, rest = url
    if scheme == "file":
        return LocalStore(rest)
    # As it is shown: without secrets and options.
    place = str(data.RemotePath.parse(text)).rstrip("/")
    return RemoteStore(place, *data.open_filesystem(text))


def _gone(folder: Path) -> WorkError:
    return WorkError(
        f"{folder} was removed or renamed while the job ran, and what it held with it: run the same command "
        f"again"
    )


def _is_own(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith((NEW, LOCK))


def _is_abandoned(path: Path) -> bool:
    """Whether a half written file is of a process of this machine's that is no more."""
    before, _, pid = path.name.removesuffix(NEW).rpartition(".")
    if not (before.endswith(f".{os.uname().nodename}") and pid.isdigit()):
        return False
    if int(pid) == os.getpid():
        return path not in _writing
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
