"""Files at URLs, which are opened when they are read."""

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from jaxlm.data.sources._records import CorpusError, UnreachableError
from jaxlm.io import error_reason, open_filesystem, shown_url, split_root, split_url

# Bytes that one request reads: many small requests would cost more time than their content takes.
BYTES_A_REQUEST = 1 << 23


class RemotePath(NamedTuple):
    """A file or folder at a URL, with some of the attributes and methods of `pathlib.Path`.

    Attributes:
      root: the URL of the file system: scheme, bucket or host, and the options after a question mark.
      key: the path below `root`, without a leading slash.

    Example:
      >>> from jaxlm.data import RemotePath
      >>> path = RemotePath.parse("s3://bucket/corpus/a.jsonl.gz?region=eu-north-1")
      >>> str(path), path.name, path.suffixes
      ('s3://bucket/corpus/a.jsonl.gz', 'a.jsonl.gz', ['.jsonl', '.gz'])
    """

    root: str
    key: str

    @classmethod
    def parse(cls, url: str) -> "RemotePath":
        """Returns the `RemotePath` of a URL, which need not exist."""
        return cls(*split_root(url))

    def __str__(self) -> str:
        return f"{shown_url(self.root).removesuffix('/')}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._bare.name

    @property
    def suffix(self) -> str:
        """The last ending of the name, such as `.gz`."""
        return self._bare.suffix

    @property
    def suffixes(self) -> list[str]:
        """All endings of the name, such as `[".jsonl", ".gz"]`."""
        return self._bare.suffixes

    @property
    def _bare(self) -> PurePosixPath:
        is_http = self.root.startswith(("http://", "https://"))
        return PurePosixPath(self.key.partition("?")[0] if is_http else self.key)

    def located(self) -> tuple[Any, str]:
        """Returns the `pyarrow.fs.FileSystem` of the URL, and the path within that file system."""
        filesystem, base = _open_root(self.root)
        return filesystem, f"{base.rstrip('/')}/{self.key}" if base else self.key

    def below(self, path: str) -> "RemotePath":
        """Returns the `RemotePath` of another path in the same file system."""
        base = _open_root(self.root)[1].strip("/")
        return self._replace(key=path.lstrip("/").removeprefix(base).strip("/"))

    def open(self) -> io.BufferedReader:
        """Returns a stream of the file's bytes, which can be read only from start to end.

        Raises:
          UnreachableError: the file cannot be opened. The stream raises the same error if reading fails.
        """
        with remote_errors(self):
            filesystem, path = self.located()
            stream = filesystem.open_input_stream(path, compression=None)
        return io.BufferedReader(_RemoteStream(self, stream), BYTES_A_REQUEST)

    def open_anywhere(self) -> io.RawIOBase:
        """Returns a stream of the file's bytes that can seek.

        Raises:
          UnreachableError: the file cannot be opened. The stream raises the same error if reading fails.
        """
        with remote_errors(self):
            filesystem, path = self.located()
            return _RemoteStream(self, filesystem.open_input_file(path))


class _RemoteStream(io.RawIOBase):
    """A file of pyarrow as a Python file; its failures are told apart from wrong content."""

    def __init__(self, path: RemotePath, file: Any) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def readinto(self, buffer: Any) -> int:
        with remote_errors(self._path):
            return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with remote_errors(self._path):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        with remote_errors(self._path):
            return self._file.tell()

    def close(self) -> None:
        with remote_errors(self._path):
            self._file.close()
        super().close()


Place = Path | RemotePath
PlaceType = TypeVar("PlaceType", bound=Place)


def to_place(path: str | Place) -> Place:
    """Returns a `Path` for a local file (also at `file://`), a `RemotePath` for one at another URL.

    Example:
      >>> from jaxlm.data.sources._remote import to_place
      >>> to_place("memory://corpus/a.txt")
      RemotePath(root='memory://corpus', key='a.txt')
    """
    if isinstance(path, str) and (parts := split_url(path)) is not None:
        scheme, rest = parts
        return Path(rest) if scheme == "file" else RemotePath.parse(path)
    return path if isinstance(path, RemotePath) else Path(path)


@contextlib.contextmanager
def remote_errors(place: Place) -> Iterator[None]:
    """Raises the errors of reading a file as an `UnreachableError` of one line.

    Args:
      place: the file or folder, for the message.

    Raises:
      UnreachableError: for an `OSError`; for a remote file, for whatever its file system's library raises.
    """
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:
        if isinstance(place, Path) and not isinstance(error, OSError):
            raise
        raise UnreachableError(f"{place}: cannot be read ({error_reason(error)})") from error


@functools.lru_cache(64)
def _open_root(root: str) -> tuple[Any, str]:
    """Opens a file system; cached, because opening may ask a server."""
    try:
        return open_filesystem(root)
    except ValueError as error:
        raise CorpusError(str(error)) from error
