"""UTF-8 text and lines of a plain or compressed file; errors name the file, the line and the byte."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from jaxlm.data._records import CorpusError

BYTE_ORDER_MARK = "\ufeff"
BYTES_AT_ONCE = 1 << 20


def read_text(path: Path) -> str:
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
    return _decode(data, path, line=1, start=0).removeprefix(BYTE_ORDER_MARK)


def read_lines(path: Path) -> Iterator[tuple[int, str | CorpusError]]:
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
                    line = _decode(raw, path, number, start)
                    yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                except CorpusError as error:
                    yield number, error
                start += len(raw)
    except CorpusError as error:
        yield number + 1, error


def count_bytes(path: Path) -> tuple[int, int, bool]:
    """Returns how many line ends a file has, how many lines begin with ">", and whether its last has no end.

    Args:
        path: a file, plain, `.gz` or `.zst`.

    Raises:
        CorpusError: the file cannot be read.
    """
    lines = headers = 0
    last = b"\n"
    with _opened(path) as stream:
        while block := stream.read(BYTES_AT_ONCE):
            lines += block.count(b"\n")
            headers += (last + block).count(b"\n>")
            last = block[-1:]
    return lines, headers, last != b"\n"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    try:
        with _stream(path) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{path}: compressed data is damaged or cut short ({error}); make it again"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error


def _stream(path: Path) -> io.BufferedIOBase:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    if path.suffix.lower() == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return open(path, "rb")


def _decode(data: bytes, path: Path, line: int, start: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise CorpusError(
            f"{path}:{line}: not UTF-8 at byte {start + error.start} (0x{data[error.start]:02x}); "
            f"convert the file, for instance with iconv -t UTF-8"
        ) from error
