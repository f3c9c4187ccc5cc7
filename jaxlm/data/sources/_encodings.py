"""Texts in any Unicode encoding as bytes of UTF-8; UTF-16 and UTF-32 are recognised by their marks."""

import codecs
import io
import re
from typing import Any, NamedTuple

from jaxlm.data.sources._records import CorpusError

# UTF-32's mark begins with UTF-16's mark, so it is looked for first.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
UTF8 = "utf-8"
LONE_CR = re.compile(rb"\r(?!\n)")
UNDECODABLE = "jaxlm.undecodable"
# ASCII in a wider encoding without a mark: the zero bytes stand at the same offsets in every unit.
UNMARKED = (
    (re.compile(rb"(?:[\t-\r -~]\0{3}){2,}"), "UTF-32LE"),
    (re.compile(rb"(?:\0{3}[\t-\r -~]){2,}"), "UTF-32BE"),
    (re.compile(rb"(?:[\t-\r -~]\0){3,}"), "UTF-16LE"),
    (re.compile(rb"(?:\0[\t-\r -~]){3,}"), "UTF-16BE"),
)


class Encoding(NamedTuple):
    """How a text is encoded.

    Attributes:
      name: the name of Python's codec.
      mark: the byte order mark in front of the text.
    """

    name: str
    mark: bytes


def encoding_of(head: bytes, where: str) -> Encoding:
    r"""Returns the encoding of a text by its byte order mark; UTF-8 if it has none.

    Args:
      head: the first bytes.
      where: the file, for the message.

    Raises:
      CorpusError: the text is UTF-16 or UTF-32 without a mark.

    Example:
      >>> from jaxlm.data.sources._encodings import encoding_of
      >>> encoding_of(b"\xff\xfeh\0", "a.txt").name, encoding_of(b"h", "a.txt").name
      ('utf-16-le', 'utf-8')
    """
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return Encoding(name, mark)
    for pattern, name in UNMARKED:
        if pattern.match(head):
            raise CorpusError(
                f"{where}: looks like {name} without its mark, expected UTF-8; convert the file, for "
                f"instance with iconv -f {name} -t UTF-8"
            )
    return Encoding(UTF8, b"")


def ends_in_cr(head: bytes, encoding: Encoding) -> bool:
    r"""Returns whether a carriage return alone ends a line: a file's head has some, and no `\n`.

    Example:
      >>> from jaxlm.data.sources._encodings import Encoding, ends_in_cr
      >>> [ends_in_cr(head, Encoding("utf-8", b"")) for head in (b"a\rb\r", b"10 %\r20 %\n", b"one")]
      [True, False, False]
    """
    if b"\r" not in head:
        return False
    text = head.decode(encoding.name, "ignore")
    return "\r" in text and "\n" not in text


class Utf8Stream(io.RawIOBase):
    """A stream of the bytes of a text in UTF-8.

    What cannot be decoded (half a surrogate pair, half a character) becomes bytes that are not UTF-8, so that
    a reader of lines meets the error in the line that has it. Bytes that are UTF-8 already do not change.

    Args:
      head: bytes that were read already.
      rest: the stream of the bytes after them.
      encoding: of both.
      lone_cr: whether a carriage return without a line feed after it becomes a line feed.
    """

    def __init__(self, head: bytes, rest: io.BufferedIOBase, encoding: Encoding, lone_cr: bool) -> None:
        self._rest: io.BufferedIOBase | None = rest
        self._head: bytes | None = head
        self._lone_cr = lone_cr
        self._decoder = None
        if encoding.name != UTF8:
            self._head = head[len(encoding.mark) :]
            self._decoder = codecs.getincrementaldecoder(encoding.name)(UNDECODABLE)
        self._ready, self._held = memoryview(b""), b""

    def readable(self) -> bool:
        """Returns True: the stream can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads bytes into a buffer and returns their number, 0 at the end.

        Args:
          buffer: a writable buffer of bytes.
        """
        while not self._ready:
            block = self._block(len(buffer))
            if block is None:
                return 0
            self._ready = memoryview(block)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _block(self, size: int) -> bytes | None:
        """The next bytes, possibly empty; None at the end."""
        if self._head is not None:
            block, is_last, self._head = self._head, False, None
        elif self._rest is not None:
            block = self._rest.read1(size)
            is_last = not block
            self._rest = None if is_last else self._rest
        else:
            return None
        if self._decoder is not None:
            block = self._decoder.decode(block, final=is_last).encode("utf-8", "surrogatepass")
        return self._with_line_ends(block, is_last) if self._lone_cr else block

    def _with_line_ends(self, block: bytes, is_last: bool) -> bytes:
        block = self._held + block
        # A carriage return at the end of the block may be followed by a line feed in the next one.
        self._held = b"" if is_last or not block.endswith(b"\r") else b"\r"
        block = block[: len(block) - len(self._held)]
        return LONE_CR.sub(b"\n", block) if b"\r" in block else block


def _undecodable(error: UnicodeError) -> tuple[str, int]:
    """Replaces what cannot be decoded by half a surrogate pair, which UTF-8 cannot encode either."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ud800", error.end


codecs.register_error(UNDECODABLE, _undecodable)
