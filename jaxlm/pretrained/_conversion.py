"""The folder of a conversion: marked until it is complete, so that a failed call can be repeated."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxlm import io
from jaxlm.errors import FolderTakenError

MARK = ".converting"


def check_free(folder: Path, request: str, *, last: str) -> None:
    """Raises an error unless a conversion may write into a folder.

    It may if the folder is missing or empty, or if a conversion that did not finish has left it.

    Args:
      folder: the folder to be written.
      request: one line that identifies the conversion.
      last: the name of the file that a conversion writes last.

    Raises:
      FolderTakenError: the folder holds something else.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained._conversion import check_free
      >>> check_free(Path("/dev/null"), "a model", last="config.json")
      Traceback (most recent call last):
      jaxlm.errors.FolderTakenError: /dev/null is there and not an empty folder: name another one
    """
    if not folder.exists() or (folder.is_dir() and all(io.is_stray(path.name) for path in folder.iterdir())):
        return
    mark = folder / MARK
    is_left = mark.is_file() and (not (folder / last).exists() or mark.read_bytes() == request.encode())
    if not is_left:
        raise FolderTakenError(f"{folder} is there and not an empty folder: name another one")


@contextlib.contextmanager
def converting(folder: Path, request: str, *, last: str, own: Iterable[str]) -> Iterator[None]:
    """Marks and locks a folder until the end of the block.

    First removes what an unfinished conversion has left in it; after an error, what this one has written.

    Args:
      folder: made if it does not exist.
      request: one line that identifies the conversion.
      last: the name of the file that is written last.
      own: patterns of the names of all files that are written.

    Raises:
      FolderTakenError: the folder holds something else, or another process writes it.
      WriteError: the folder cannot be written.
    """
    is_new = not folder.exists()
    with io.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / MARK) as mark:
        check_free(folder, request, last=last)
        # From here on the folder counts as unfinished, because it lacks the file that is written last.
        _clear(folder, [last, *own])
        with io.writing(folder / MARK):
            os.truncate(mark, 0)
            os.pwrite(mark, request.encode(), 0)
        try:
            yield
        except BaseException:
            _clear(folder, [*own, last, MARK])
            if is_new:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        with io.writing(folder / MARK):
            os.unlink(folder / MARK)


@contextlib.contextmanager
def _locked(mark: Path) -> Iterator[int]:
    with io.writing(mark):
        handle = os.open(mark, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # Without locks, two processes with the same request write the same files.
        if not io.try_lock(handle):
            raise FolderTakenError(
                f"another process is converting a model into {mark.parent}: wait for it, or name another "
                f"folder"
            )
        yield handle
    finally:
        os.close(handle)


def _clear(folder: Path, patterns: Iterable[str]) -> None:
    io.clear_partials(folder)
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        with contextlib.suppress(OSError):
            path.unlink()
