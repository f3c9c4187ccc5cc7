"""A store of files in an object store, through pyarrow or fsspec."""

import contextlib
from collections.abc import Iterator
from typing import Any

from jaxlm.io._errors import ReadError, WriteError
from jaxlm.io._filesystems import error_reason


class RemoteStore:
    """The files below one prefix of an object store; each file is written by one put request.

    A put is atomic on S3, Google Cloud Storage and Azure, through pyarrow or fsspec, and in fsspec's memory.
    HDFS, and file systems of fsspec without a put (SFTP, SMB, FTP), show a file while it is being written. A
    result file of a scoring job that was cut short lacks its footer and is made again when the job continues,
    but a reader may see the incomplete file before the job ends.

    Attributes:
      place: the URL of the store, as error messages show it.

    Args:
      place: the URL of the store, as error messages show it.
      filesystem: the file system, an object of `pyarrow.fs` (see `open_filesystem`).
      prefix: the path of the store within the file system.
    """

    def __init__(self, place: str, filesystem: Any, prefix: str) -> None:
        self.place = place
        self._filesystem, self._prefix = filesystem, prefix.rstrip("/")
        self._fsspec = getattr(getattr(filesystem, "handler", None), "fs", None)

    def names(self) -> set[str]:
        """Returns the names of all files, as paths relative to the store; an empty set if there are none.

        Raises:
          ReadError: the files cannot be listed.
        """
        from pyarrow import fs

        chosen = fs.FileSelector(self._prefix, allow_not_found=True, recursive=True)
        with self._asked("listed"):
            if self._fsspec is not None:
                # fsspec caches listings, and other processes may have written files since.
                self._fsspec.invalidate_cache()
            found = [one.path for one in self._filesystem.get_file_info(chosen) if one.is_file]
        return {path.removeprefix("/").removeprefix(self._prefix.lstrip("/") + "/") for path in found}

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file.

        Raises:
          ReadError: the file is missing or cannot be read.
        """
        with self._asked("read", name), self._filesystem.open_input_file(f"{self._prefix}/{name}") as file:
            return file.read()

    def put(self, name: str, data: bytes) -> None:
        """Writes a whole file by one put request; an existing file is replaced.

        Args:
          name: the path of the file relative to the store.
          data: the content of the file.

        Raises:
          WriteError: the file cannot be written.
        """
        path = f"{self._prefix}/{name}"
        with self._asked("written", name):
            if self._fsspec is not None:
                self._pipe(self._fsspec, path, data)
                return
            stream = self._filesystem.open_output_stream(path)
            stream.write(data)
            # Not in a `with` block, because closing publishes the file, which must not happen after an error.
            stream.close()

    @staticmethod
    def _pipe(fsspec: Any, path: str, data: bytes) -> None:
        """Puts a file through fsspec in one call; a stream that is lost is closed and would publish half."""
        try:
            fsspec.pipe_file(path, data)
        except FileNotFoundError:
            # Folders are made where a store has them (SFTP), a bucket is not.
            top, folder = path[: path.find("/", 1)], path.rpartition("/")[0]
            if not fsspec.exists(top):
                raise
            fsspec.makedirs(folder, exist_ok=True)
            fsspec.pipe_file(path, data)

    def clear(self) -> None:
        """Does nothing, because an object store keeps no partial files."""

    @contextlib.contextmanager
    def one_process(self, name: str) -> Iterator[None]:
        """A context manager that does nothing, because object stores have no locks.

        Two processes of one job then write the same files with the same content."""
        del name
        yield

    @contextlib.contextmanager
    def _asked(self, done: str, name: str = "") -> Iterator[None]:
        """Raises every error of the file system's library as a `ReadError` or `WriteError` of one line."""
        try:
            yield
        except Exception as error:
            where = f"{self.place.rstrip('/')}/{name}"
            kind = WriteError if done == "written" else ReadError
            raise kind(f"{where}: cannot be {done} ({error_reason(error)})") from error
