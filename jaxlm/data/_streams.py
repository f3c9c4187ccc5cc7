"""UTF-8 text and lines of a plain or compressed file; errors name the file, the line and the byte."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from jaxlm.data._records import CorpusError

BYTE_ORDER_MARK = "\ufeff"


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


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end), lazily.

    Only `\\n` and `\\r\\n` end a line, so that the numbers agree with every editor's.

    Args:
        path: a UTF-8 file, plain, `.gz` or `.zst`; a byte order mark at its start is dropped.

    Yields:
        Every line, blank ones included.

    Raises:
        CorpusError: the file cannot be read or is not UTF-8; names the line and the byte.
    """
    start = 0
    with _opened(path) as stream:
        for number, raw in enumerate(stream, start=1):
            line = _decode(raw, path, number, start).rstrip("\r\n")
            yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
            start += len(raw)


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
