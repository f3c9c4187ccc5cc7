"""Compressors and archives: which are read, how the others are recognised, and the error for those."""

from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import Place

READABLE_CONTAINERS = {".gz": "gzip", ".zst": "zstd"}
# Compressors and archives that are not read.
UNREADABLE_CONTAINERS = {
    ".bz2": "bzip2",
    ".xz": "xz",
    ".lzma": "lzma",
    ".lz": "lzip",
    ".lz4": "lz4",
    ".lzo": "lzop",
    ".br": "brotli",
    ".sz": "snappy",
    ".snappy": "snappy",
    ".z": "compress",
    ".zip": "zip",
    ".7z": "7-Zip",
    ".rar": "RAR",
    ".tar": "tar",
    ".tgz": "tar",
    ".tbz": "tar",
    ".tbz2": "tar",
    ".txz": "tar",
    ".tzst": "tar",
}
ARCHIVES = ("zip", "7-Zip", "RAR", "tar")
MAGIC = (
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x5d\0\0", "lzma"),
    (0, b"LZIP\x01", "lzip"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x02\x21\x4c\x18", "lz4"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (0, b"\xff\x06\0\0sNaPpY", "snappy"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"\x1f\xa0", "compress"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
)
# What follows the first letters of a bzip2 file: the mark of a block, or of the end if it has no block.
BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
MAGIC_LENGTH = 262


def container_by_name(path: Place) -> str | None:
    """Returns the compressor or archiver of a file that is not read, by its ending; None for other files.

    Example:
      >>> from jaxlm.data.sources._containers import container_by_name
      >>> from pathlib import Path
      >>> container_by_name(Path("a.jsonl.bz2")), container_by_name(Path("a.txt.gz"))
      ('bzip2', None)
      >>> container_by_name(Path("a.tar.gz"))
      'tar'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in READABLE_CONTAINERS:
        suffixes.pop()
    return UNREADABLE_CONTAINERS.get(suffixes[-1]) if suffixes else None


def container_by_magic(head: bytes) -> str | None:
    """Returns the compressor or archiver of a file that begins with these bytes; None if there is none.

    Example:
      >>> from jaxlm.data.sources._containers import container_by_magic
      >>> container_by_magic(b"PK" + bytes([3, 4])), container_by_magic(b"once upon")
      ('zip', None)
    """
    for offset, magic, name in MAGIC:
        if head[offset : offset + len(magic)] == magic and (name != "bzip2" or _is_bzip2(head)):
            return name
    return None


def container_error(path: object, container: str, *, is_inside: bool = False) -> CorpusError:
    """Returns the error for a file that has to be decompressed or unpacked first.

    Args:
      path: the file.
      container: its compressor or archiver.
      is_inside: whether decompressing the file has shown that its content is compressed once more.

    Example:
      >>> from jaxlm.data.sources._containers import container_error
      >>> print(container_error("a.jsonl.bz2", "bzip2"))
      a.jsonl.bz2: compressed by bzip2, expected a plain file, gzip (.gz) or zstd (.zst); decompress it
    """
    if container in READABLE_CONTAINERS.values() and not is_inside:
        ending = next(ending for ending, name in READABLE_CONTAINERS.items() if name == container)
        return CorpusError(
            f"{path}: compressed by {container}, which its name does not say; decompress it, or let its name "
            f"end in {ending}"
        )
    inside = "what it decompresses to is " if is_inside else ""
    if container in ARCHIVES:
        return CorpusError(
            f"{path}: {inside}an archive ({container}), expected one text; decompress it and name its files"
        )
    return CorpusError(
        f"{path}: {inside}compressed by {container}, expected a plain file, gzip (.gz) or zstd (.zst); "
        f"decompress it"
    )


def _is_bzip2(head: bytes) -> bool:
    return head[3:4] in tuple(b"%d" % level for level in range(1, 10)) and head[4:10] in BZIP2_BLOCKS
