"""Whatever encoding a text is in, its bytes as UTF-8: UTF-16 and UTF-32 are known by their marks."""

import codecs
import io
import re
from typing import Any, NamedTuple

from jaxlm.data.sources._records import CorpusError

# UTF-32's mark begins with that of UTF-16, so it is looked for first.
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
# Units of ASCII as a wider encoding writes them, where no mark says so: zeros stand at the same places.
UNMARKED = (
    (re.compile(rb"(?:[\t-\r -~]\0{3}){2,}"), "UTF-32LE"),
    (re.compile(rb"(?:\0{3}[\t-\r -~]){2,}"), "UTF-32BE"),
    (re.compile(rb"(?:[\t-\r -~]\0){3,}"), "UTF-16LE"),
    (re.compile(rb"(?:\0[\t-\r -~]){3,}"), "UTF-16BE"),
)


class Encoding(NamedTuple):
    """How a text is encoded.

    Attributes:
      name: of Python's codec.
      mark: the bytes in front of the text that say so.
    """

    name: str
    mark: bytes


def encoding_of(head: bytes, where: str) -> Encoding:
    r"""Returns the encoding of a text by its first bytes; UTF-8 where no mark says otherwise.

    Args:
      head: the first bytes.
      where: the file, for the message.

    Raises:
      CorpusError: the text is UTF-16 or UTF-32 and no mark says so.

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
    r"""Whether lines end in a carriage return alone, as those of old Macs do: a head has some and no `\n`.

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
    """The bytes of a text as UTF-8.

    What an encoding cannot say (half a pair, half a character) becomes bytes that are no UTF-8, so that who
    reads line by line finds it in its line. Bytes that are UTF-8 stay as they are, in number, too.

    Args:
      head: what was read already.
      rest: the stream behind it.
      encoding: of both.
      lone_cr: whether a carriage return without a line feed behind it is made one.
    """

    def __init__(self, head: bytes, rest: io.BufferedIOBase, encoding: Encoding, lone_cr: bool) -> None:
        self._rest, self._lone_cr = rest, lone_cr
        self._head: bytes | None = head
        self._decoder = None
        if encoding.name != UTF8:
            self._head = head[len(encoding.mark) :]
            self._decoder = codecs.getincrementaldecoder(encoding.name)(UNDECODABLE)
        self._ready, self._held = memoryview(b""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
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
        """The next bytes, which may be none; None at the end."""
        if self._head is None and self._rest is None:
            return None
        block = self._rest.read1(size) if self._head is None else self._head
        is_last = self._head is None and not block
        self._head = None
        if is_last:
            self._rest = None
        if self._decoder is not None:
            block = self._decoder.decode(block, final=is_last).encode("utf-8", "surrogatepass")
        return self._with_line_ends(block, is_last) if self._lone_cr else block

    def _with_line_ends(self, block: bytes, is_last: bool) -> bytes:
        block = self._held + block
        # What follows a carriage return at the end is not known yet.
        self._held = b"" if is_last or not block.endswith(b"\r") else b"\r"
        block = block[: len(block) - len(self._held)]
        return LONE_CR.sub(b"\n", block) if b"\r" in block else block


def _undecodable(error: UnicodeError) -> tuple[str, int]:
    """Half of a pair in the place of what is none, which UTF-8 has no bytes for."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ud800", error.end


codecs.register_error(UNDECODABLE, _undecodable)
