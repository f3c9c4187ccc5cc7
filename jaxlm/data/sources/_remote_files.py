"""The files that a URL stands for: one, those below a folder, or those that a pattern matches."""

import fnmatch
import glob
from collections.abc import Iterator, Sequence
from typing import Any

from jaxlm.data.sources._local_files import ANY_DEPTH
from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import RemotePath, remote_errors


def find_remote(url: str) -> tuple[RemotePath | None, list[RemotePath]]:
    """Returns the folder that a URL names, None where it names none, and the files that it stands for.

    Args:
      url: of a file, a folder (every file below it, hidden ones left out) or a glob pattern; a name that
        looks like a pattern and is there is no pattern.

    Raises:
      CorpusError: the file system cannot be opened or listed, nothing is there, or nothing matches.

    Example:
      >>> from jaxlm.data.sources._remote_files import find_remote
      >>> import fsspec
      >>> fsspec.filesystem("memory").pipe_file("/tales/old/a.txt", b"once")
      >>> [str(path) for path in find_remote("memory://tales/*/*.txt")[1]]
      ['memory://tales/old/a.txt']
    """
    place = RemotePath.parse(url)
    with remote_errors(place):
        filesystem, path = place.located()
        _forget(filesystem)
        kind = _kind(filesystem, path)
        if kind != "NotFound" or not glob.has_magic(place.key):
            return (None if kind == "File" else place), _named(place, filesystem, path, kind)
        base = place._replace(key="").located()[1]
        found = [place.below(one) for one in _glob(filesystem, base, place.key.split("/"))]
    if not found:
        raise CorpusError(f"no file matches the pattern {str(place)!r}; check it, and that it may be listed")
    return None, found


def _named(place: RemotePath, filesystem: Any, path: str, kind: str) -> list[RemotePath]:
    if kind == "NotFound":
        raise CorpusError(f"no file or folder at {str(place)!r}; check the URL, and that it may be read")
    if kind == "File":
        return [place]
    below = [place.below(one.path) for one in _listed(filesystem, path, recursive=True) if one.is_file]
    depth = len(place.key.split("/")) if place.key else 0
    return [one for one in below if not _is_hidden(one.key.split("/")[depth:])]


def _kind(filesystem: Any, path: str) -> str:
    return filesystem.get_file_info(path or "/").type.name


def _listed(filesystem: Any, folder: str, *, recursive: bool) -> list[Any]:
    from pyarrow import fs

    chosen = fs.FileSelector(folder or "/", allow_not_found=True, recursive=recursive)
    return filesystem.get_file_info(chosen)


def _glob(filesystem: Any, folder: str, patterns: Sequence[str]) -> Iterator[str]:
    """Yields the files that match, having listed no folder that cannot hold one."""
    first, *rest = patterns
    if rest and not glob.has_magic(first):
        yield from _glob(filesystem, _join(folder, first), rest)
        return
    for one in _listed(filesystem, folder, recursive=first == ANY_DEPTH):
        words = one.path.strip("/").removeprefix(folder.strip("/")).strip("/").split("/")
        if first == ANY_DEPTH or not rest:
            if one.is_file and _matches(words, patterns):
                yield one.path
        elif not one.is_file and _matches(words, [first]):
            yield from _glob(filesystem, one.path, rest)


def _matches(words: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the words of a path are those of a pattern, by the rules of `glob.glob`."""
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


def _forget(filesystem: Any) -> None:
    """fsspec keeps lists of files, and a corpus may have grown since it was last looked at."""
    inner = getattr(getattr(filesystem, "handler", None), "fs", None)
    if inner is not None:
        inner.invalidate_cache()
