"""UTF-8 text and lines of a plain or compressed file; errors name the file, the line and the byte."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from jaxlm.data._records import CorpusError, UnreachableError
from jaxlm.data._remote import Place, RemotePath, reason

BYTE_ORDER_MARK = "\ufeff"
BYTES_AT_ONCE = 1 << 20
BYTES_DECOMPRESSED = 1 << 16


def read_text(path: Place) -> str:
    """Returns the whole file as text.

    Args:
        path: a UTF-8 file, plain, `.gz` or `.zst`; a byte order mark at its start is dropped.

    Returns:
        Its text.

    Raises:
        CorpusError: the file cannot be read or is not UTF-8; names the line and the byte.
    """
    with _opened(path) as stream:
        data = stream.read()
    try:
        return data.decode().removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise _not_utf8(error, path, line=1, start=0) from error


def read_lines(path: Place) -> Iterator[tuple[int, str | CorpusError]]:
    """Yields (line number from 1, line with its end), lazily, and goes on behind lines that are not UTF-8.

    Only `\\n` and `\\r\\n` end a line, so that the numbers agree with every editor's.

    Args:
        path: a UTF-8 file, plain, `.gz` or `.zst`; a byte order mark at its start is dropped.

    Yields:
        Every line, blank ones included; in the place of one that is not UTF-8, and of all that follows where
        the file itself cannot be read any further, the error that names line and byte.
    """
    number = start = 0
    try:
        with _opened(path) as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    line = raw.decode()
                except UnicodeDecodeError as error:
                    yield number, _not_utf8(error, path, number, start)
                else:
                    yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                start += len(raw)
    except CorpusError as error:
        yield number + 1, error


def count_bytes(path: Place) -> tuple[int, int, bool]:
    """Returns how many line ends a file has, how many lines begin with ">", and whether its last has no end.

    Args:
        path: a file, plain, `.gz` or `.zst`.

    Raises:
        CorpusError: the file cannot be read.
    """
    with _opened(path) as stream:
        *_, counted = _counted(stream)
    return counted


def count_head(path: RemotePath, stored: int) -> tuple[int, int]:
    """Returns how many line ends, and lines that begin with ">", the first stored bytes of a file hold.

    Args:
        path: a file, plain, `.gz` or `.zst`.
        stored: how many bytes of it are read.

    Raises:
        CorpusError: the file cannot be read.
    """
    with path.open() as stream:
        head = io.BytesIO(stream.read(stored))
    lines = headers = 0
    # What is compressed ends in the middle of something.
    with contextlib.suppress(EOFError, OSError, zlib.error), _decompressed(head, path) as stream:
        for counted in _counted(stream):
            lines, headers, _ = counted
    return lines, headers


def _counted(stream: io.BufferedIOBase) -> Iterator[tuple[int, int, bool]]:
    """Yields, block by block, line ends, lines that begin with ">", and whether the last has no end."""
    lines = headers = 0
    last = b"\n"
    yield lines, headers, False
    while block := stream.read(BYTES_AT_ONCE):
        lines += block.count(b"\n")
        headers += (last + block).count(b"\n>")
        last = block[-1:]
        yield lines, headers, last != b"\n"


@contextlib.contextmanager
def _opened(path: Place) -> Iterator[io.BufferedIOBase]:
    try:
        with _stream(path) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{path}: compressed data is damaged or cut short ({error}); make it again"
        ) from error
    except OSError as error:
        # Without a number it is a decompressor's, with one the computer's.
        kind = CorpusError if error.errno is None else UnreachableError
        raise kind(f"{path}: cannot be read ({reason(error)})") from error


@contextlib.contextmanager
def _stream(path: Place) -> Iterator[io.BufferedIOBase]:
    if isinstance(path, RemotePath):
        with path.open() as stored, _decompressed(stored, path) as stream:
            yield stream
    else:
        with _local_stream(path) as stream:
            yield stream


def _decompressed(stored: io.BufferedIOBase, path: Place) -> io.BufferedIOBase:
    """A stream of what a file holds, from one of what is stored."""
    if path.suffix.lower() == ".gz":
        return gzip.GzipFile(fileobj=stored)
    if path.suffix.lower() == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(stored, "zstd"), BYTES_DECOMPRESSED)
    return stored


def _local_stream(path: Path) -> io.BufferedIOBase:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    if path.suffix.lower() == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return open(path, "rb", BYTES_AT_ONCE)


def _not_utf8(error: UnicodeDecodeError, path: Place, line: int, start: int) -> CorpusError:
    data = error.object
    line += data.count(b"\n", 0, error.start)
    return CorpusError(
        f"{path}:{line}: not UTF-8 at byte {start + error.start} (0x{data[error.start]:02x}); "
        f"convert the file, for instance with iconv -t UTF-8"
    )
