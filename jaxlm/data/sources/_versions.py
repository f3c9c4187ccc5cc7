"""Versions of files: size and time, a digest of the content, or the version that a store gives."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from jaxlm import io
from jaxlm.data.sources._records import CorpusError, UnreachableError
from jaxlm.data.sources._remote import Place, PlaceType, RemotePath, remote_errors

# Digests of larger files are remembered; smaller files are read again at each start.
REMEMBERED_BYTES = 1 << 22
REQUESTS_AT_ONCE = 16
# A digest is remembered only if the file was written longer ago than this, a tick of a file system's clock.
STABLE_AFTER_NS = 2 * 10**9
# Names under which file systems tell the digest of a file's content, and the time of writing.
DIGEST_KEYS = (
    "ETag",
    "etag",
    "e_tag",
    "md5Hash",
    "content_md5",
    "Content-MD5",
    "Digest",
    "crc32c",
    "checksum",
)
TIME_KEYS = ("mtime", "LastModified", "Last-Modified", "last_modified", "updated")

Result = TypeVar("Result")


def file_size(place: Place) -> int:
    """Returns the size of a file in bytes, as it is stored; 0 if its store does not tell it.

    Raises:
      CorpusError: there is no such file.
    """
    with remote_errors(place):
        if isinstance(place, RemotePath):
            filesystem, path = place.located()
            return _check_file(place, filesystem.get_file_info(path)).size or 0
        return place.stat().st_size


def file_digest(place: Place) -> str:
    """Returns a string that changes when a file's content changes.

    For a local file the string is the SHA-256 of the content. For files of 4 MiB and more the digest is
    remembered in `io.cache_root()`, so that the file is not read again until its size or one of its times
    changes.

    For a file at a URL the string is the size together with the checksum that the store keeps (an ETag, for
    example), or, if there is no checksum, with the time of the last change. If the store gives neither, the
    content is read and the string is its SHA-256. The string of a file at a URL may thus change when the same
    content is written again, and usually differs from that of a local copy.

    Args:
      place: the path or URL of the file.

    Returns:
      The SHA-256 in hexadecimal, or the size and checksum or time that the store gives.

    Raises:
      CorpusError: the file cannot be read.
    """
    if isinstance(place, RemotePath):
        return _store_version(place) or content_digest(place)
    version = _size_and_times(place)
    memory = io.cache_root() / "digests" / hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:32]
    is_large = version[0] >= REMEMBERED_BYTES
    if is_large and (known := _remembered(memory, version)):
        return known
    digest = content_digest(place)
    # Not for a file that was just written: it can have other bytes later with the same times.
    is_settled = _size_and_times(place) == version and max(version[1:3]) < time.time_ns() - STABLE_AFTER_NS
    if is_large and is_settled:
        _remember(memory, version, digest)
    return digest


def file_version(place: Place) -> str | None:
    """Returns a string that changes when a file is written again; None if the file is missing.

    It is made of the size and the time of the last change, or of what the store of a URL gives.

    Args:
      place: the path or URL of the file. The content is not read.

    Raises:
      UnreachableError: the store does not answer, which does not mean that the file changed.
    """
    try:
        if isinstance(place, RemotePath):
            return _store_version(place) or f"{file_size(place)} bytes"
        status = place.stat()
        return f"{status.st_size} bytes, {status.st_mtime_ns}"
    except UnreachableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    except (OSError, CorpusError):
        return None


def map_concurrently(function: Callable[[PlaceType], Result], places: Sequence[PlaceType]) -> list[Result]:
    """Returns the results of a function for several files, in order; the calls run in threads.

    Args:
      function: a function of one path or URL, such as `file_digest` or `file_version`.
      places: the paths or URLs of the files.
    """
    if len(places) < 2:  # no thread is needed
        return [function(place) for place in places]
    is_remote = any(isinstance(place, RemotePath) for place in places)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE if is_remote else os.cpu_count()) as pool:
        return list(pool.map(function, places))


def _check_file(place: RemotePath, info: Any) -> Any:
    if not info.is_file:
        raise CorpusError(f"{place}: is no file (any more)")
    return info


def _store_version(place: RemotePath) -> str | None:
    """The version of a file's content that its store gives; None if it gives none."""
    with remote_errors(place):
        filesystem, path = place.located()
        # fsspec tells more of a file than pyarrow.
        inner = getattr(getattr(filesystem, "handler", None), "fs", None)
        if inner is None:
            info = _check_file(place, filesystem.get_file_info(path))
            return None if info.mtime_ns is None else f"{info.size} bytes, mtime {info.mtime_ns}"
        inner.invalidate_cache(path)
        info = inner.info(path)
        named = [f"{name} {info[name]}" for name in (*DIGEST_KEYS, *TIME_KEYS) if info.get(name)]
        marks = named[:1] or _modified(inner, path)
    return f"{info.get('size')} bytes, {marks[0]}" if marks else None


def _modified(filesystem: Any, path: str) -> list[str]:
    try:
        return [f"modified {filesystem.modified(path)}"]
    except NotImplementedError:
        return []


def content_digest(place: Place) -> str:
    """Reads a file and returns the SHA-256 of its bytes.

    Args:
      place: the file.

    Returns:
      The digest in hexadecimal.

    Raises:
      CorpusError: the file cannot be read.
    """
    with remote_errors(place), place.open() if isinstance(place, RemotePath) else open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size_and_times(place: Path) -> list[int]:
    with remote_errors(place):
        status = place.stat()
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _remembered(memory: Path, version: list[int]) -> str | None:
    try:
        known = io.unseal(io.parse_json(memory.read_text(encoding="utf-8")), needed=True)
        return known["digest"] if known["version"] == version else None
    except (io.DamagedError, OSError, ValueError, KeyError):
        return None


def _remember(memory: Path, version: list[int], digest: str) -> None:
    """Writes the digest for the next time; if that fails the file is read again."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        io.write_text(memory, json.dumps(io.seal({"version": version, "digest": digest})))
