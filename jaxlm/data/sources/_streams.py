"""Text and lines of a plain or compressed file; errors name the file, the line and the byte."""

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from jaxlm.data.sources import _containers as containers
from jaxlm.data.sources._encodings import UTF8, Encoding, Utf8Stream, encoding_of, ends_in_cr
from jaxlm.data.sources._records import MAX_DOCUMENT, CorpusError, UnreachableError, check_length
from jaxlm.data.sources._remote import Place, RemotePath
from jaxlm.io import error_reason

BYTE_ORDER_MARK = "\ufeff"
# Bytes from which the encoding and the line ends are recognised.
HEAD_BYTES = 1 << 16
BYTES_AT_ONCE = 1 << 20
BYTES_DECOMPRESSED = 1 << 16

# Whether a carriage return alone ends a line: always, never, or in a file whose beginning has no line feed.
LoneCr = Literal["always", "never", "without_lf"]


def read_text(path: Place, max_document: int = MAX_DOCUMENT) -> str:
    """Returns the whole file as text.

    Args:
      path: a file, plain, `.gz` or `.zst`, in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.
      max_document: the most bytes that it may hold, decompressed.

    Returns:
      The text without the mark.

    Raises:
      CorpusError: the file cannot be read, is too long, or is not in its encoding; names the line and the
        byte.
    """
    with _opened(path, "never") as (stream, encoding):
        data = stream.read(max_document + 1)
    check_length(len(data), max_document, str(path))
    try:
        return data.decode().removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise _undecodable(error, path, encoding, line=1, start=0) from error


def read_lines(
    path: Place, lone_cr: LoneCr = "without_lf", max_document: int = MAX_DOCUMENT
) -> Iterator[tuple[int, str | CorpusError]]:
    r"""Yields (line number from 1, line with its end) lazily, and goes on after lines that are no text.

    `\n` and `\r\n` end a line; `\r` alone does so as `lone_cr` says. So the numbers agree with an editor's.

    Args:
      path: a file, plain, `.gz` or `.zst`, in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.
      lone_cr: whether a carriage return without a line feed after it ends a line (it then becomes a line
        feed): "always", "never", or "without_lf", which means in a file whose first 64 KiB have no line feed.
      max_document: the most bytes of a line, decompressed; a longer line is never held as a whole.

    Yields:
      Every line, blank ones too, without the mark. In the place of a line that is too long or not in the
      file's encoding comes its error; where the file cannot be read any further, one error ends the stream.
    """
    number = start = 0
    try:
        with _opened(path, lone_cr) as (stream, encoding):
            number = 1
            while raw := stream.readline(max_document + 1):
                try:
                    check_length(len(raw), max_document, f"{path}:{number}")
                    line = raw.decode()
                except CorpusError as error:
                    yield number, error
                    start += _skip_line(stream, raw)
                except UnicodeDecodeError as error:
                    yield number, _undecodable(error, path, encoding, number, start)
                else:
                    yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                start += len(raw)
                number += 1
    except CorpusError as error:
        yield max(number, 1), error


def _skip_line(stream: io.BufferedIOBase, raw: bytes) -> int:
    """Reads to the end of a line whose beginning was read; returns how many bytes that were."""
    skipped = 0
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(BYTES_AT_ONCE)
        skipped += len(raw)
    return skipped


def count_bytes(path: Place, lone_cr: LoneCr = "without_lf") -> tuple[int, int, bool]:
    """Returns the number of line ends, of lines that begin with ">", and whether the last line has no end.

    Args:
      path: a file, plain, `.gz` or `.zst`.
      lone_cr: as for `read_lines`.

    Raises:
      CorpusError: the file cannot be read.
    """
    with _opened(path, lone_cr) as (stream, _):
        *_, counted = _counted(stream)
    return counted


def count_head(path: RemotePath, stored: int, lone_cr: LoneCr = "without_lf") -> tuple[int, int]:
    """Returns the number of line ends, and of lines that begin with ">", in the first bytes of a file.

    Args:
      path: a file, plain, `.gz` or `.zst`.
      stored: how many bytes are read, as they are stored.
      lone_cr: as for `read_lines`.

    Raises:
      CorpusError: the file cannot be read.
    """
    with path.open() as stream:
        head = io.BytesIO(stream.read(stored))
    lines = headers = 0
    # The first bytes of a compressed file end in the middle of a block.
    with contextlib.suppress(EOFError, OSError, zlib.error), _decompressed(head, path) as stream:
        for counted in _counted(_as_utf8(stream, path, lone_cr)[0]):
            lines, headers, _ = counted
    return lines, headers


def _counted(stream: io.BufferedIOBase) -> Iterator[tuple[int, int, bool]]:
    """Yields after each block: line ends, lines that begin with ">", and whether the last line has no end."""
    lines = headers = 0
    last = b"\n"
    yield lines, headers, False
    while block := stream.read(BYTES_AT_ONCE):
        block = block.removeprefix(codecs.BOM_UTF8)
        lines += block.count(b"\n")
        headers += (last + block).count(b"\n>")
        last = block[-1:]
        yield lines, headers, last != b"\n"


@contextlib.contextmanager
def _opened(path: Place, lone_cr: LoneCr) -> Iterator[tuple[io.BufferedIOBase, Encoding]]:
    """Opens the bytes of a text as UTF-8, with the encoding that they had."""
    try:
        with _stream(path) as stream:
            yield _as_utf8(stream, path, lone_cr)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{path}: compressed data is damaged or cut short ({error}); make it again"
        ) from error
    except OSError as error:
        # An error without a number comes from a decompressor, one with a number from the system.
        kind = CorpusError if error.errno is None else UnreachableError
        raise kind(f"{path}: cannot be read ({error_reason(error)})") from error


def _as_utf8(stream: io.BufferedIOBase, path: Place, lone_cr: LoneCr) -> tuple[io.BufferedIOBase, Encoding]:
    head = _head(stream)
    container = containers.container_by_magic(head)
    if container is not None:
        raise containers.container_error(
            path, container, is_inside=path.suffix.lower() in containers.READABLE_CONTAINERS
        )
    encoding = encoding_of(head, str(path))
    is_ended = lone_cr == "always" or (lone_cr == "without_lf" and ends_in_cr(head, encoding))
    is_plain = isinstance(path, Path) and path.suffix.lower() not in containers.READABLE_CONTAINERS
    if encoding.name == UTF8 and not is_ended and is_plain and stream.seekable():
        # The file itself, from its start: reading through another stream would cost time.
        stream.seek(0)
        return stream, encoding
    return io.BufferedReader(Utf8Stream(head, stream, encoding, is_ended), BYTES_AT_ONCE), encoding


def _head(stream: io.BufferedIOBase) -> bytes:
    """The first bytes. Those before any damage, which the next reading meets again."""
    head = b""
    while len(head) < HEAD_BYTES:
        try:
            block = stream.read1(HEAD_BYTES - len(head))
        except (EOFError, OSError, zlib.error):
            if not head:
                raise
            break
        if not block:
            break
        head += block
    return head


@contextlib.contextmanager
def _stream(path: Place) -> Iterator[io.BufferedIOBase]:
    """Opens the content of a file, decompressed."""
    with path.open() if isinstance(path, RemotePath) else _open_local(path) as stored:
        named = containers.READABLE_CONTAINERS.get(path.suffix.lower())
        actual = containers.container_by_magic(stored.peek(containers.MAGIC_LENGTH)) if named else None
        if actual is not None and actual != named:
            raise containers.container_error(path, actual)
        with _decompressed(stored, path) as stream:
            yield stream


def _open_local(path: Path) -> io.BufferedReader:
    return io.BufferedReader(io.FileIO(path), BYTES_AT_ONCE)


def _decompressed(stored: io.BufferedIOBase, path: Place) -> io.BufferedIOBase:
    """The stream of a file's content, from the stream of its stored bytes."""
    if path.suffix.lower() == ".gz":
        return gzip.GzipFile(fileobj=stored)
    if path.suffix.lower() == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(stored, "zstd"), BYTES_DECOMPRESSED)
    return stored


def _undecodable(
    error: UnicodeDecodeError, path: Place, encoding: Encoding, line: int, start: int
) -> CorpusError:
    data = error.object
    line += data.count(b"\n", 0, error.start)
    if encoding.name != UTF8:
        name = encoding.name.upper()
        return CorpusError(
            f"{path}:{line}: not {name}, which the file's mark says it is (half a character); write the file "
            f"again"
        )
    return CorpusError(
        f"{path}:{line}: not UTF-8 at byte {start + error.start} (0x{data[error.start]:02x}); "
        f"convert the file, for instance with iconv -t UTF-8"
    )
