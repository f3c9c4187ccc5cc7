"""Folders that are written atomically, also when several processes write them or a writer is killed."""

import contextlib
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from jaxlm import io
from jaxlm.data.sources import CorpusError

LOG = logging.getLogger(__name__)
OpenedCache = TypeVar("OpenedCache")
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PERMISSION_ERRNOS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EIO}
)


class CacheError(CorpusError, io.WriteError):
    """The cache cannot be written; the message names the remedy."""


def open_or_build(
    folder: Path, build: Callable[[Path], None], open_it: Callable[[Path], OpenedCache]
) -> OpenedCache:
    """Opens a folder; builds it first if it is missing or damaged.

    The folder is written under another name, synced and renamed, under a lock: a second process waits for the
    first and then opens its folder. A killed process leaves nothing that could be mistaken for the folder.

    Args:
      folder: the path of the folder.
      build: writes the content into the empty folder that it is given.
      open_it: opens the folder, or raises `io.DamagedError`.

    Returns:
      The result of `open_it`.

    Raises:
      CacheError: the disk is full, or the folder cannot be written.
    """
    with contextlib.suppress(io.DamagedError):
        return open_it(folder)
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as locked:
            try:
                return open_it(folder)
            except io.DamagedError as error:
                _clear(folder, str(error), locked)
            _publish(folder, build)
    return open_it(folder)


def _publish(folder: Path, build: Callable[[Path], None]) -> None:
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.new-", dir=folder.parent))
    try:
        build(new)
        os.chmod(new, 0o755)
        for path in [*new.rglob("*"), new]:
            io.flush(path)
        _rename(new, folder)
        io.flush(folder.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _rename(new: Path, folder: Path) -> None:
    try:
        os.rename(new, folder)
    except OSError as error:
        # On a file system without locks another process may have been first; its folder stays.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _clear(folder: Path, damage: str, locked: bool) -> None:
    """Removes a damaged folder and, if this process holds the lock, what killed writers have left."""
    if folder.exists():
        LOG.warning("the cache %s is damaged (%s): building it again", folder, damage)
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.new-", dir=folder.parent))
        os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)
    for left in folder.parent.glob(f"{folder.name}.new-*") if locked else ():
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Holds the folder's lock; yields False on a file system without locks."""
    with open(folder.with_name(f"{folder.name}.lock"), "ab") as lock:
        yield io.wait_for_lock(lock.fileno())


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise CacheError(
                f"no room on disk for the cache {folder}; free some, or set JAXLM_CACHE to a folder elsewhere"
            ) from error
        if error.errno in PERMISSION_ERRNOS:
            raise CacheError(
                f"cannot write the cache {folder} ({error.strerror}); set JAXLM_CACHE to a folder of yours"
            ) from error
        raise
