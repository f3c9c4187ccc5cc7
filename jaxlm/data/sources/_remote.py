"""Files at URLs, which are opened where they are read."""

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from jaxlm.data.sources._records import CorpusError, UnreachableError
from jaxlm.io import error_reason, open_filesystem, shown_url, split_root, split_url

# A request a read: many small ones would take longer than what they bring.
BYTES_A_REQUEST = 1 << 23


class RemotePath(NamedTuple):
    """A file or folder at a URL, with what of `pathlib.Path` sources ask for; pickled, it is words.

    Attributes:
      root: URL of the file system, to the bucket or host and with its options.
      key: the path below.

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
        """Returns the path of a URL."""
        return cls(*split_root(url))

    def __str__(self) -> str:
        return f"{shown_url(self.root).removesuffix('/')}/{self.key}"

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
        with remote_errors(self):
            filesystem, path = self.located()
            stream = filesystem.open_input_stream(path, compression=None)
        return io.BufferedReader(_RemoteStream(self, stream), BYTES_A_REQUEST)

    def open_anywhere(self) -> io.RawIOBase:
        """Returns its bytes, to be read from any place; raises as `open`."""
        with remote_errors(self):
            filesystem, path = self.located()
            return _RemoteStream(self, filesystem.open_input_file(path))


class _RemoteStream(io.RawIOBase):
    """A file of `pyarrow`'s as one of Python's, whose failures are told from wrong content."""

    def __init__(self, path: RemotePath, file: Any) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def readinto(self, buffer: Any) -> int:
        with remote_errors(self._path):
            return self._file.readinto(buffer)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        with remote_errors(self._path):
            return self._file.seek(place, whence)

    def tell(self) -> int:
        with remote_errors(self._path):
            return self._file.tell()

    def close(self) -> None:
        with remote_errors(self._path):
            self._file.close()
        super().close()


Place = Path | RemotePath


def to_place(path: str | Place) -> Place:
    """Returns where a file lies: here, or at a URL; `file://` is here.

    Example:
      >>> from jaxlm.data.sources._remote import to_place
      >>> to_place("memory://corpus/a.txt")
      RemotePath(root='memory://corpus', key='a.txt')
    """
    found = split_url(path) if isinstance(path, str) else None
    if found is None:
        return path if isinstance(path, RemotePath) else Path(path)
    return Path(found[1]) if found[0] == "file" else RemotePath.parse(path)


@contextlib.contextmanager
def remote_errors(place: Place) -> Iterator[None]:
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
        raise UnreachableError(f"{place}: cannot be read ({error_reason(error)})") from error


@functools.lru_cache(64)
def _opened(root: str) -> tuple[Any, str]:
    """Kept, as opening may ask a server."""
    try:
        return open_filesystem(root)
    except ValueError as error:
        raise CorpusError(str(error)) from error
