"""A prefix of an object store as a place of files, through pyarrow or fsspec."""

import contextlib
from collections.abc import Iterator
from typing import Any

from jaxlm.io._errors import ReadError, WriteError
from jaxlm.io._filesystems import error_reason


class RemoteStore:
    """A prefix of an object store; a file is one put.

    A put is there whole or not at all on S3, Google Cloud Storage and Azure, by pyarrow or fsspec, and in
    fsspec's memory. HDFS, and what fsspec opens that has no put of its own (SFTP, SMB, FTP), show a file
    while it is written: a part cut short there has no footer of its job and is made again, but whoever reads
    before the job has finished may see it.

    Attributes:
      place: its URL.

    Args:
      place: its URL, for messages.
      filesystem: of `pyarrow.fs`.
      prefix: path within the file system.
    """

    def __init__(self, place: str, filesystem: Any, prefix: str) -> None:
        self.place = place
        self._filesystem, self._prefix = filesystem, prefix.rstrip("/")
        self._fsspec = getattr(getattr(filesystem, "handler", None), "fs", None)

    def names(self) -> set[str]:
        """Returns the objects there are, by their path within the store.

        Raises:
          ReadError: if they cannot be listed.
        """
        from pyarrow import fs

        chosen = fs.FileSelector(self._prefix, allow_not_found=True, recursive=True)
        with self._asked("listed"):
            if self._fsspec is not None:
                # It keeps lists of files, and the processes of other shards put theirs.
                self._fsspec.invalidate_cache()
            found = [one.path for one in self._filesystem.get_file_info(chosen) if one.is_file]
        return {path.removeprefix("/").removeprefix(self._prefix.lstrip("/") + "/") for path in found}

    def read(self, name: str) -> bytes:
        """Returns an object's bytes.

        Raises:
          ReadError: if it cannot be read.
        """
        with self._asked("read", name), self._filesystem.open_input_file(f"{self._prefix}/{name}") as file:
            return file.read()

    def put(self, name: str, data: bytes) -> None:
        """Writes an object with one put.

        Raises:
          WriteError: if it cannot be written.
        """
        path = f"{self._prefix}/{name}"
        with self._asked("written", name):
            if self._fsspec is not None:
                self._pipe(self._fsspec, path, data)
                return
            stream = self._filesystem.open_output_stream(path)
            stream.write(data)
            # Not in a `with` block: closing is what publishes, and half an object must not be.
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
        """Does nothing: an object store keeps no half of an object."""

    @contextlib.contextmanager
    def one_process(self, name: str) -> Iterator[None]:
        """Does nothing: object stores have no locks, and two processes of one job put the same objects."""
        del name
        yield

    @contextlib.contextmanager
    def _asked(self, done: str, name: str = "") -> Iterator[None]:
        """Raises what goes wrong, whatever a file system's own library raises, as one line."""
        try:
            yield
        except Exception as error:
            where = f"{self.place.rstrip('/')}/{name}"
            kind = WriteError if done == "written" else ReadError
            raise kind(f"{where}: cannot be {done} ({error_reason(error)})") from error
