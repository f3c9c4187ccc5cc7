"""The local files that a path, a folder or a pattern names; what cannot be read is an error, not left out."""

import difflib
import fnmatch
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxlm import io
from jaxlm.data.sources._records import CorpusError

ANY_DEPTH = "**"
# Special files, by the type in their mode.
FILE_TYPES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def find_local(path: str) -> tuple[Path | None, list[Path]]:
    """Returns the folder that a path names (None if it names none), and the files that it stands for.

    Args:
      path: of a file, of a folder (for every visible file below it and below folders that it links to), or a
        glob pattern (`**` crosses folders; `~` is the home folder). A name that looks like a pattern but
        exists is taken as a name.

    Returns:
      The folder and the files. Among them may be links and special files; `check_regular` refuses those that
      cannot be read.

    Raises:
      CorpusError: nothing is there, nothing matches, a folder may not be listed, or a link is broken.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.data.sources._local_files import find_local
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> _ = (folder / "tales.txt").write_text("once")
      >>> [path.name for path in find_local(str(folder))[1]]
      ['tales.txt']
    """
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:
        raise CorpusError(f"{path}: nobody here has that home folder; write the path out") from error
    if _is_folder(expanded):
        return expanded, sorted(_below(expanded))
    if os.path.lexists(expanded):
        return None, [expanded]
    if not glob.has_magic(path):
        raise CorpusError(f"no file or folder at {path!r}; {_nearest(expanded)}")
    matches = sorted({match for match in _matches(expanded) if not _is_folder(match)})
    if not matches:
        raise CorpusError(f"no file matches the pattern {path!r}; check it, relative to {os.getcwd()}")
    return None, matches


def check_regular(path: Path) -> None:
    """Raises an error unless a path is a file that can be read more than once.

    Args:
      path: of a file.

    Raises:
      CorpusError: it is a broken link, a pipe, a device or a socket.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _broken_link(path) from error
        return
    except OSError as error:
        raise _no_status(path, error) from error
    if kind in FILE_TYPES:
        raise CorpusError(
            f"{path}: expected a regular file, which can be read more than once, got {FILE_TYPES[kind]}; "
            f"write what comes from it into a file first"
        )


def _below(folder: Path) -> Iterator[Path]:
    """Yields the visible files below a folder and below the folders that it links to, each folder once."""
    seen, links = set(), [folder]
    while links:
        waiting = [links.pop(0)]
        while waiting:
            here = waiting.pop()
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            for entry in _listed(here):
                if not _is_folder(entry):
                    yield entry
                elif entry.is_symlink():
                    links.append(entry)
                else:
                    waiting.append(entry)


def _listed(folder: Path, *, hidden: bool = False) -> list[Path]:
    """The entries of a folder, without files that operating systems leave; hidden ones only if asked for."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not io.is_stray(entry.name)]
    except OSError as error:
        raise CorpusError(
            f"{folder}: cannot be listed ({error.strerror}), and its files would be left out; let it be "
            f"read, or name the files that are wanted"
        ) from error
    return sorted(folder / name for name in names if hidden or not name.startswith("."))


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise _broken_link(path) from error
        # Nothing is there, or no longer.
        return False
    except OSError as error:
        raise _no_status(path, error) from error


def _matches(path: Path) -> Iterator[Path]:
    """Yields what a pattern matches, by the rules of `glob.glob`."""
    anchor = path.anchor or "."
    yield from _glob(Path(anchor), path.parts[bool(path.anchor) :])


def _glob(folder: Path, patterns: Sequence[str]) -> Iterator[Path]:
    first, *rest = patterns
    if first == ANY_DEPTH:
        for below in _folders(folder):
            yield from _glob(below, rest or ["*"])
    elif not glob.has_magic(first):
        if rest and _is_folder(folder / first):
            yield from _glob(folder / first, rest)
        elif not rest and os.path.lexists(folder / first):
            yield folder / first
    else:
        for entry in _listed(folder, hidden=first.startswith(".")):
            if not fnmatch.fnmatchcase(entry.name, first):
                continue
            if not rest:
                yield entry
            elif _is_folder(entry):
                yield from _glob(entry, rest)


def _folders(folder: Path) -> Iterator[Path]:
    """Yields a folder and all visible folders below it, each once; links to folders are followed."""
    seen, waiting = set(), [folder]
    while waiting:
        here = waiting.pop(0)
        status = here.stat()
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield here
            below = [entry for entry in _listed(here) if _is_folder(entry)]
            waiting = [*(entry for entry in below if not entry.is_symlink()), *waiting]
            waiting += [entry for entry in below if entry.is_symlink()]


def _no_status(path: Path, error: OSError) -> CorpusError:
    return CorpusError(f"{path}: cannot be looked at ({error.strerror}); check the path and its permissions")


def _broken_link(path: Path) -> CorpusError:
    return CorpusError(
        f"{path}: a broken link, to {os.readlink(path)!r}, whose content would be left out; mend it or "
        f"remove it"
    )


def _nearest(path: Path) -> str:
    """The remedy for a missing path: a similar name beside it, or the first folder that is missing."""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    if missing != path:
        return f"its folder {str(missing)!r} is not there either (working folder {os.getcwd()})"
    close = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    if close:
        return f"did you mean {str(path.parent / close[0])!r}?"
    return f"check the path, relative to {os.getcwd()}"
