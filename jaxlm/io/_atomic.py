"""Atomic writes of files: under another name, flushed to the disk, then renamed."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from jaxlm.io._errors import writing

PARTIAL = ".partial"
# The partial files of this process, and a counter for their names.
_writing: set[Path] = set()
_begun = itertools.count()


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Writes a file atomically: readers, even after a crash, see the whole old file or the whole new one.

    Args:
      path: the path of the file. Its folder must exist.
      write: a function that writes the content to the path that it is given: a partial file in the same
        folder, which is renamed to `path` when the function returns.

    Raises:
      WriteError: the file cannot be written, for example because its folder is missing. The old file stays.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io import write_atomically
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.txt")
      >>> write_atomically(path, lambda partial: partial.write_text("whole"))
      >>> path.read_text(), [file.name for file in path.parent.iterdir()]
      ('whole', ['a.txt'])
    """
    path = Path(path)
    # A unique name, because another call may be writing the same file.
    partial = path.with_name(f".{path.name}.{next(_begun)}.{os.uname().nodename}.{os.getpid()}{PARTIAL}")
    _writing.add(partial)
    try:
        with writing(path):
            partial.touch()
            mode = partial.stat().st_mode
            write(partial)
            partial.chmod(mode)  # safetensors removes the rights of others, whatever the umask says
            flush(partial)
            os.replace(partial, path)
            flush(path.parent)  # the new name too
    finally:
        _writing.discard(partial)
        with contextlib.suppress(OSError):
            os.unlink(partial)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a string to a file in UTF-8, atomically: readers see the whole old file or the whole new one.

    Raises:
      WriteError: the file cannot be written, for example because its folder is missing. The old file stays.
      UnicodeEncodeError: the string holds half a surrogate pair. The old file stays.
    """
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes bytes to a file, atomically: readers see the whole old file or the whole new one.

    Raises:
      WriteError: the file cannot be written, for example because its folder is missing. The old file stays.
    """

    def write(partial: Path) -> None:
        handle = os.open(partial, os.O_WRONLY)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
        finally:
            os.close(handle)

    write_atomically(path, write)


def is_partial(path: Path) -> bool:
    """Returns whether a path is named like a partial file, which a killed `write_atomically` leaves behind.

    The name of a partial file begins with a dot and ends in ".partial".

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io import is_partial
      >>> is_partial(Path("runs/.model.safetensors.712.partial")), is_partial(Path("notes.partial"))
      (True, False)
    """
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def is_abandoned(path: Path) -> bool:
    """Returns whether a partial file belongs to a process of this machine that has ended.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io._atomic import is_abandoned
      >>> is_abandoned(Path("runs/.model.safetensors.0.another-machine.712.partial"))
      False
    """
    before, _, pid = path.stem.rpartition(".")
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


def clear_partials(folder: str | os.PathLike[str]) -> None:
    """Removes the partial files and folders that atomic writes of killed processes have left in a folder.

    Call it only while no other process writes to the folder, because partial files of running processes are
    removed too. The name of a partial file begins with a dot and ends in ".partial" (see `is_partial`).

    Args:
      folder: the path of the folder. Its subfolders are not searched. A missing folder is no error.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io import clear_partials
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in (".a.txt.0.host.712.partial", "b.txt"):
      ...     (folder / name).touch()
      >>> clear_partials(folder)
      >>> [path.name for path in folder.iterdir()]
      ['b.txt']
    """
    for path in [path for path in Path(folder).glob(f".*{PARTIAL}") if is_partial(path)]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def flush(path: str | os.PathLike[str]) -> None:
    """Flushes a file to the disk, or, for the path of a folder, the names of the files in the folder.

    Example:
      >>> from jaxlm.io import flush
      >>> import tempfile
      >>> flush(tempfile.mkdtemp())
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
