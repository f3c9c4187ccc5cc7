"""What tells a file's content from another: its size and time, its digest, or what its store says of it."""

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
from jaxlm.data.sources._remote import Place, RemotePath, remote_errors

# Smaller files are read again at each start, which takes a moment.
REMEMBERED_BYTES = 1 << 22
REQUESTS_AT_ONCE = 16
# How long ago a file was written whose digest may be remembered: file systems' clocks have ticks.
STABLE_AFTER_NS = 2 * 10**9
# What file systems call the digest of a file's content, and the time it was written at.
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

T = TypeVar("T")


def file_size(place: Place) -> int:
    """Returns a file's size in bytes, as it is stored; 0 where its store does not say.

    Raises:
      CorpusError: it is not there.
    """
    with remote_errors(place):
        if isinstance(place, RemotePath):
            filesystem, path = place.located()
            return _there(place, filesystem.get_file_info(path)).size or 0
        return place.stat().st_size


def file_digest(place: Place) -> str:
    """Returns what identifies a file's content.

    Of a local file it is the SHA-256; a large file's is remembered until its size or time changes. Of one at
    a URL it is the size and the checksum that its store keeps (an ETag, say) or else the time at which it was
    written; it is read only where its store says neither.

    Args:
      place: the file.

    Returns:
      The digest in hexadecimal, or the words of the store.

    Raises:
      CorpusError: the file cannot be read.
    """
    if isinstance(place, RemotePath):
        return _told(place) or content_digest(place)
    version = _stamped(place)
    memory = io.cache_root() / "digests" / hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:32]
    is_large = version[0] >= REMEMBERED_BYTES
    if is_large and (known := _remembered(memory, version)):
        return known
    digest = content_digest(place)
    # Not of a file that was being written, which may have the same times with other bytes.
    is_settled = _stamped(place) == version and max(version[1:3]) < time.time_ns() - STABLE_AFTER_NS
    if is_large and is_settled:
        _remember(memory, version, digest)
    return digest


def file_version(place: Place) -> str | None:
    """Returns words that change when a file is written again; None where it is not there.

    Args:
      place: the file; its content is not read.

    Raises:
      UnreachableError: its store does not answer, which is no change.
    """
    try:
        if isinstance(place, RemotePath):
            return _told(place) or f"{file_size(place)} bytes"
        status = place.stat()
        return f"{status.st_size} bytes, {status.st_mtime_ns}"
    except UnreachableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    except (OSError, CorpusError):
        return None


def map_concurrently(function: Callable[[Place], T], places: Sequence[Place]) -> list[T]:
    """Returns what a function says of files, asked of several at once.

    Args:
      function: `file_digest`, `file_version` or `file_size`.
      places: the files.
    """
    if len(places) < 2:  # which no thread need be started for
        return [function(place) for place in places]
    is_remote = any(isinstance(place, RemotePath) for place in places)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE if is_remote else os.cpu_count()) as pool:
        return list(pool.map(function, places))


def _there(place: RemotePath, info: Any) -> Any:
    if not info.is_file:
        raise CorpusError(f"{place}: is no file (any more)")
    return info


def _told(place: RemotePath) -> str | None:
    """What a store says of a file's content."""
    with remote_errors(place):
        filesystem, path = place.located()
        # fsspec's says more than pyarrow's.
        inner = getattr(getattr(filesystem, "handler", None), "fs", None)
        if inner is None:
            info = _there(place, filesystem.get_file_info(path))
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
    """Returns the SHA-256 of a file's bytes, having read them.

    Args:
      place: the file.

    Returns:
      The digest in hexadecimal.

    Raises:
      CorpusError: the file cannot be read.
    """
    with remote_errors(place), place.open() if isinstance(place, RemotePath) else open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamped(place: Path) -> list[int]:
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
    """Failing to is no loss: the file is read again next time."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        io.write_text(memory, json.dumps(io.seal({"version": version, "digest": digest})))
