"""The files that a URL names: one file, the files below a folder, or those that match a pattern."""

import fnmatch
import glob
from collections.abc import Iterator, Sequence
from typing import Any

from jaxlm.data.sources._local_files import ANY_DEPTH
from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import RemotePath, remote_errors


def find_remote(url: str) -> tuple[RemotePath | None, list[RemotePath]]:
    """Returns the folder that a URL names (None if it names none), and the files that it stands for.

    Args:
      url: of a file, of a folder (for every file below it that is not hidden), or a glob pattern. A name that
        looks like a pattern but exists is taken as a name.

    Raises:
      CorpusError: the file system cannot be opened or listed, nothing is there, or nothing matches.

    Example:
      >>> from jaxlm.data.sources._remote_files import find_remote
      >>> import fsspec
      >>> fsspec.filesystem("memory").pipe_file("/tales/old/a.txt", b"once")
      >>> [str(path) for path in find_remote("memory://tales/*/*.txt")[1]]
      ['memory://tales/old/a.txt']
    """
    remote = RemotePath.parse(url)
    with remote_errors(remote):
        filesystem, path = remote.located()
        _clear_listings(filesystem)
        kind = _kind(filesystem, path)
        if kind != "NotFound" or not glob.has_magic(remote.key):
            return (None if kind == "File" else remote), _files(remote, filesystem, path, kind)
        base = remote._replace(key="").located()[1]
        matches = [remote.below(match) for match in _glob(filesystem, base, remote.key.split("/"))]
    if not matches:
        raise CorpusError(f"no file matches the pattern {str(remote)!r}; check it, and that it may be listed")
    return None, matches


def _files(remote: RemotePath, filesystem: Any, path: str, kind: str) -> list[RemotePath]:
    """The file itself, or the visible files below the folder."""
    if kind == "NotFound":
        raise CorpusError(f"no file or folder at {str(remote)!r}; check the URL, and that it may be read")
    if kind == "File":
        return [remote]
    below = [remote.below(info.path) for info in _listed(filesystem, path, recursive=True) if info.is_file]
    depth = len(remote.key.split("/")) if remote.key else 0
    return [file for file in below if not _is_hidden(file.key.split("/")[depth:])]


def _kind(filesystem: Any, path: str) -> str:
    return filesystem.get_file_info(path or "/").type.name


def _listed(filesystem: Any, folder: str, *, recursive: bool) -> list[Any]:
    from pyarrow import fs

    chosen = fs.FileSelector(folder or "/", allow_not_found=True, recursive=recursive)
    return filesystem.get_file_info(chosen)


def _glob(filesystem: Any, folder: str, patterns: Sequence[str]) -> Iterator[str]:
    """Yields the files that match; lists only folders that can hold a match."""
    first, *rest = patterns
    if rest and not glob.has_magic(first):
        yield from _glob(filesystem, _join(folder, first), rest)
        return
    for info in _listed(filesystem, folder, recursive=first == ANY_DEPTH):
        words = info.path.strip("/").removeprefix(folder.strip("/")).strip("/").split("/")
        if first == ANY_DEPTH or not rest:
            if info.is_file and _matches(words, patterns):
                yield info.path
        elif not info.is_file and _matches(words, [first]):
            yield from _glob(filesystem, info.path, rest)


def _matches(words: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern, by the rules of `glob.glob`."""
    if not patterns:
        return not words
    if patterns[0] == ANY_DEPTH:
        return any(
            _matches(words[start:], patterns[1:]) and not _is_hidden(words[:start])
            for start in range(len(words) + 1)
        )
    if not words or (_is_hidden(words[:1]) and not patterns[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(words[0], patterns[0]) and _matches(words[1:], patterns[1:])


def _is_hidden(words: Sequence[str]) -> bool:
    return any(word.startswith(".") for word in words)


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _clear_listings(filesystem: Any) -> None:
    """Clears the listings that fsspec caches, because a corpus may have grown since."""
    inner = getattr(getattr(filesystem, "handler", None), "fs", None)
    if inner is not None:
        inner.invalidate_cache()
