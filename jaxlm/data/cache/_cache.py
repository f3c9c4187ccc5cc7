"""A tokenised corpus on disk: all ids in one memory-mapped file, and the offset of each record."""

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm import io, tokenizers
from jaxlm.data.cache._cache_writer import (
    CACHE_FORMAT,
    CacheCounts,
    CacheWriter,
    EndTokens,
    ends_frame,
    nothing_to_mask,
)
from jaxlm.data.cache._folders import open_or_build
from jaxlm.data.sources import CorpusError, Record

CHECKSUM_BLOCK = 1 << 24


class TokenCache:
    """A tokenised corpus; `cache[index]` returns the tokens of a record, read from memory-mapped files.

    Attributes:
      folder: the folder that holds the files of the cache.
      counts: the numbers of records and tokens, and of records that were left out.
      tokens: the tokens of all records, one after the other, `UInt[tokens]`, memory-mapped.
      offsets: the index in `tokens` of each record's first token, and at last the number of tokens,
        `Int64[records + 1]`.
      lengths: the number of tokens of each record, `Int64[records]`.
      byte_lengths: the number of UTF-8 bytes of each record's text, `Int64[records]`, memory-mapped. Opening
        and closing tokens add no bytes.
      labels: the label of each record, `Float64[records]`, memory-mapped. The label of a class is the index
        of its name. None: the corpus has no labels.
      pad_id: the id that fills the unused end of packed rows; 0 for a tokenizer without a padding token.

    Raises:
      DamagedError: the folder does not hold a complete cache (`build_cache` then builds it again).
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = _manifest(self.folder)
        try:
            self._open(manifest)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise io.DamagedError(f"{self.folder}: {error}") from error

    def _open(self, manifest: dict[str, Any]) -> None:
        self.counts = CacheCounts(**manifest["counts"])
        self.pad_id: int = manifest["pad_id"]
        self.tokens = _mapped(self.folder / "tokens.bin", manifest["dtype"], self.counts.tokens)
        self.offsets = _mapped(self.folder / "offsets.bin", "<i8", self.counts.records + 1)
        self._id_offsets = _mapped(self.folder / "id_offsets.bin", "<i8", self.counts.records + 1)
        self._ids = _mapped(self.folder / "ids.bin", "u1", int(self._id_offsets[-1]))
        self.byte_lengths = _mapped(self.folder / "byte_lengths.bin", "<i8", self.counts.records)
        labels = _mapped(self.folder / "labels.bin", "<f8", self.counts.records * manifest["labelled"])
        self.labels: np.ndarray | None = labels if manifest["labelled"] else None
        self.lengths = np.diff(self.offsets)
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.tokens) or np.any(self.lengths < 1):
            raise io.DamagedError(f"{self.folder}: offsets do not fit the tokens")

    @property
    def num_tokens(self) -> int:
        """The number of tokens of all records."""
        return self.counts.tokens

    @property
    def num_bytes(self) -> int:
        """The number of UTF-8 bytes of all texts, by which bits are divided for bits per byte."""
        return int(self.byte_lengths.sum())

    def __len__(self) -> int:
        return self.counts.records

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns the tokens of one record, `Int32[length]`; a negative index counts from the end."""
        index = range(len(self))[index]
        return np.asarray(self.tokens[self.offsets[index] : self.offsets[index + 1]], np.int32)

    def ids(self, index: int) -> str:
        """Returns the record's id, as its source gave it.

        Args:
          index: the index of the record; a negative index counts from the end.

        Returns:
          The id.
        """
        index = range(len(self))[index]
        return bytes(self._ids[self._id_offsets[index] : self._id_offsets[index + 1]]).decode(
            "utf-8", "surrogateescape"
        )

    def __repr__(self) -> str:
        return f"TokenCache({str(self.folder)!r}: {len(self):,} records, {self.num_tokens:,} tokens)"


def build_cache(
    records_fn: Callable[[], Iterable[Record]],
    tokenizer: tokenizers.Tokenizer,
    folder: str | Path,
    *,
    source_fingerprint: str,
    ends: EndTokens = False,
    labelled: bool = False,
) -> TokenCache:
    """Returns the cache of a tokenised corpus, which is opened if it exists undamaged, and else built.

    The folder is written atomically, and two processes that need the same cache build it once.

    Args:
      records_fn: a function that returns an iterator over the records. It is called only if the cache has to
        be built.
      tokenizer: encodes the records.
      folder: the parent folder. The cache is a folder inside it, whose name is made of the fingerprints of
        the source and the tokenizer.
      source_fingerprint: a string that identifies the content of the records and their labels.
      ends: the opening and closing tokens that each record gets: True adds those of the tokenizer, "file"
        those that its file puts around a text, False none, and a `Frame` the ids that it holds.
      labelled: whether the number in each record's `meta["label"]` is stored as its label (see
        `label_records`).

    Returns:
      The opened cache.

    Raises:
      CorpusError: a record cannot be encoded; all records hold only special tokens; the disk is full or the
        folder cannot be written; or `ends` is True and the tokenizer has neither an opening nor a closing
        token.
    """
    name = f"{source_fingerprint[:16]}-{tokenizer.fingerprint[:16]}"
    frame = ends_frame(tokenizer, ends)
    sides = ("_".join(map(str, ids)) for ids in frame)
    name += ("-ends-" + "-".join(sides) if any(frame) else "") + "-labelled" * labelled

    def build(new: Path) -> None:
        writer = CacheWriter(new, tokenizer, ends=frame, labelled=labelled)
        for record in records_fn():
            writer.add(record)
        writer.finish()
        if writer.counts.unmaskable and not writer.counts.records:
            raise CorpusError(nothing_to_mask(writer.counts.unmaskable + writer.counts.empty))

    return open_or_build(Path(folder) / name, build, TokenCache)


def _manifest(folder: Path) -> dict[str, Any]:
    """Reads a cache's manifest and compares it and the files that it lists with their checksums.

    That reads all tokens. Training does so before its first step in any case, to count them.
    """
    try:
        manifest = io.unseal(io.parse_json((folder / "manifest.json").read_text(encoding="utf-8")))
        if manifest["format"] != CACHE_FORMAT:
            raise io.DamagedError(f"{folder}: written by another version")
        for name, expected in manifest["checksums"].items():
            path = folder / f"{name}.bin"
            if _checksum(path) != expected:
                raise io.DamagedError(f"{path.name} does not match its checksum")
        return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise io.DamagedError(f"{folder}: {error}") from error


def _checksum(path: Path) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(CHECKSUM_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _mapped(path: Path, dtype: str, length: int) -> np.ndarray:
    expected = length * np.dtype(dtype).itemsize
    if path.stat().st_size != expected:
        raise io.DamagedError(f"{path} should have {expected} bytes, not {path.stat().st_size}")
    return np.memmap(path, dtype, mode="r") if length else np.zeros(0, dtype)
