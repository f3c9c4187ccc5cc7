"""Files at URLs: which file system a URL is of, and a file of it, which is opened where it is read."""

import contextlib
import functools
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from jaxlm.data._records import CorpusError, UnreachableError
from jaxlm.errors import UsageError

# Opened by pyarrow; what fsspec knows of other schemes is more.
ARROW = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
URL = re.compile(r"((?:[A-Za-z][\w.+-]*::)*[A-Za-z][\w.+-]*)://(.*)", re.DOTALL)
OPTIONS = re.compile(r"\?(?=\w+=)")
SECRET = re.compile(r"//[^/@:]*:[^/@]*@")
# Google's library looks for credentials, where there are none, for 15 minutes, unless it is told to give up.
RETRY_LIMIT = "retry_limit_seconds=120"
LONGEST_REASON = 300
# A request a read: many small ones would take longer than what they bring.
BYTES_A_REQUEST = 1 << 23


def split_url(text: str) -> tuple[str, str] | None:
    """Returns scheme and rest of a URL; None of the path of a local file.

    Example:
        >>> split_url("s3://bucket/a.txt"), split_url("corpus/a.txt")
        (('s3', 'bucket/a.txt'), None)
    """
    found = URL.fullmatch(text)
    return None if found is None else (found[1], found[2])


def without_secret(text: str) -> str:
    """Returns a text without the names and passwords in its URLs.

    Example:
        >>> without_secret("s3://key:secret@bucket/a.txt")
        's3://bucket/a.txt'
    """
    return SECRET.sub("//", text)


def open_filesystem(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL, as one of `pyarrow.fs`, and the path within it.

    `s3://`, `gs://`, `hdfs://` and `abfs://` are opened by pyarrow, other schemes by fsspec where that is
    installed, and with it what it needs for them: aiohttp for `https://`.

    Args:
        url: of a file or a folder, which need not exist; with pyarrow's options behind a question mark.

    Raises:
        UsageError: if the URL cannot be opened.

    Example:
        >>> open_filesystem("memory://corpus/a.txt")[1]
        '/corpus/a.txt'
    """
    from pyarrow import fs

    asked, scheme = url, url.partition("://")[0]
    try:
        if scheme in ("gs", "gcs") and "retry_limit_seconds=" not in url:
            url += ("&" if "?" in url else "?") + RETRY_LIMIT
        if scheme in ARROW:
            return fs.FileSystem.from_uri(url)
        import fsspec

        found, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(found)), path
    except ModuleNotFoundError as error:
        said = f"{asked}: opening {scheme}:// needs {error.name}; install it"
        raise UsageError(without_secret(said)) from error
    except Exception as error:
        # Whatever a file system's own library may raise.
        raise UsageError(without_secret(f"{asked}: cannot be opened ({reason(error)})")) from error


class RemotePath(NamedTuple):
    """A file or folder at a URL, with what of `pathlib.Path` sources ask for; pickled, it is words.

    Attributes:
        root: URL of the file system, to the bucket or host and with its options.
        key: the path below.

    Example:
        >>> path = RemotePath.parse("s3://bucket/corpus/a.jsonl.gz?region=eu-north-1")
        >>> str(path), path.name, path.suffixes
        ('s3://bucket/corpus/a.jsonl.gz', 'a.jsonl.gz', ['.jsonl', '.gz'])
    """

    root: str
    key: str

    @classmethod
    def parse(cls, url: str) -> "RemotePath":
        """Returns the path of a URL."""
        scheme, rest = split_url(url)
        # Elsewhere what follows a question mark is a part of the path.
        place, *options = OPTIONS.split(rest, 1) if scheme in ARROW else [rest]
        host, _, key = place.partition("/")
        root = f"{scheme}://{host or '/'}" + "".join(f"?{one}" for one in options)
        return cls(root, key.rstrip("/"))

    def __str__(self) -> str:
        shown = without_secret(OPTIONS.split(self.root)[0])
        return f"{shown.removesuffix('/')}/{self.key}"

    @property
    def name(self) -> str:
        """The last word of the path."""
        return self._bare.name

    @property
    def suffix(self) -> str:
        """The last ending."""
        return self._bare.suffix

    @property
    def suffixes(self) -> list[str]:
        """Every ending."""
        return self._bare.suffixes

    @property
    def _bare(self) -> PurePosixPath:
        is_http = self.root.startswith(("http://", "https://"))
        return PurePosixPath(self.key.partition("?")[0] if is_http else self.key)

    def located(self) -> tuple[Any, str]:
        """Returns the file system and the path within it."""
        filesystem, base = _opened(self.root)
        return filesystem, f"{base.rstrip('/')}/{self.key}" if base else self.key

    def below(self, path: str) -> "RemotePath":
        """Returns a file of the same file system by its path within it."""
        base = _opened(self.root)[1].strip("/")
        return self._replace(key=path.lstrip("/").removeprefix(base).strip("/"))

    def open(self) -> io.BufferedReader:
        """Returns its bytes, as they come.

        Raises:
            UnreachableError: if it cannot be opened, and the stream where it cannot be read.
        """
        with reading(self):
            filesystem, path = self.located()
            stream = filesystem.open_input_stream(path, compression=None)
        return io.BufferedReader(_Stored(self, stream), BYTES_A_REQUEST)

    def open_anywhere(self) -> io.RawIOBase:
        """Returns its bytes, to be read from any place; raises as `open`."""
        with reading(self):
            filesystem, path = self.located()
            return _Stored(self, filesystem.open_input_file(path))


class _Stored(io.RawIOBase):
    """A file of `pyarrow`'s as one of Python's, whose failures are told from wrong content."""

    def __init__(self, path: RemotePath, file: Any) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def readinto(self, buffer: Any) -> int:
        with reading(self._path):
            return self._file.readinto(buffer)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        with reading(self._path):
            return self._file.seek(place, whence)

    def tell(self) -> int:
        with reading(self._path):
            return self._file.tell()

    def close(self) -> None:
        with reading(self._path):
            self._file.close()
        super().close()


Place = Path | RemotePath


def to_place(path: str | Place) -> Place:
    """Returns where a file lies: here, or at a URL; `file://` is here.

    Example:
        >>> to_place("memory://corpus/a.txt")
        RemotePath(root='memory://corpus', key='a.txt')
    """
    found = split_url(path) if isinstance(path, str) else None
    if found is None:
        return path if isinstance(path, RemotePath) else Path(path)
    return Path(found[1]) if found[0] == "file" else RemotePath.parse(path)


@contextlib.contextmanager
def reading(place: Place) -> Iterator[None]:
    """Raises what goes wrong with a file as one line.

    Args:
        place: the file or folder, for the message.

    Raises:
        UnreachableError: for an OSError; of a remote file for whatever its file system's library raises.
    """
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:
        if isinstance(place, Path) and not isinstance(error, OSError):
            raise
        raise UnreachableError(f"{place}: cannot be read ({reason(error)})") from error


@functools.lru_cache(64)
def _opened(root: str) -> tuple[Any, str]:
    """Kept, as opening may ask a server."""
    try:
        return open_filesystem(root)
    except ValueError as error:
        raise CorpusError(str(error)) from error


def reason(error: Exception) -> str:
    """Returns the one line of an error that says why.

    Example:
        >>> reason(OSError("access denied, of a request")), reason(OSError())
        ('access denied, of a request', 'OSError')
    """
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0][:LONGEST_REASON] if lines else type(error).__name__
