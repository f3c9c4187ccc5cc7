"""Writes a tokenised corpus block by block, and counts the records that are left out."""

import json
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxlm import io, tokenizers
from jaxlm.data.sources import CorpusError, Record

# The ids around each record: none or those of `tokenizers.text_frame` for training, what the tokenizer's file
# puts around a text, or the ids themselves.
EndTokens = bool | Literal["file"] | tokenizers.Frame
CACHE_FORMAT = 2
CacheFile = Literal["tokens", "offsets", "ids", "id_offsets", "byte_lengths", "labels"]
CACHE_FILES: tuple[CacheFile, ...] = ("tokens", "offsets", "ids", "id_offsets", "byte_lengths", "labels")
RECORDS_AT_ONCE = 1024
LETTERS_AT_ONCE = 1 << 20


class CacheCounts(NamedTuple):
    """Counts of what a cache holds and of what was left out of it.

    Attributes:
      records: the number of records in the cache.
      tokens: the number of tokens of all records in the cache.
      unknown: the number of tokens in the cache that are [UNK].
      empty: the number of records left out because they have no token.
      unmaskable: the number of records left out because every token is special, so that no token can be
        masked.
    """

    records: int = 0
    tokens: int = 0
    unknown: int = 0
    empty: int = 0
    unmaskable: int = 0


class CacheWriter:
    """Writes tokenised records into an empty folder, which `TokenCache` can open after `finish`.

    Args:
      folder: an empty folder; it is made if it does not exist.
      tokenizer: encodes the texts, many at a time.
      ends: the opening and closing tokens that each record gets: True adds those of the tokenizer, "file"
        those that its file puts around a text (perhaps none, or on one side alone), False none, and a `Frame`
        the ids that it holds.
      labelled: whether the number in each record's `meta["label"]` is stored as its label.

    Raises:
      CorpusError: `ends=True` with a tokenizer that has no token for either end.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: tokenizers.Tokenizer,
        *,
        ends: EndTokens = False,
        labelled: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.counts = CacheCounts()
        self._folder, self._tokenizer, self._labelled = folder, tokenizer, labelled
        self._frame = ends_frame(tokenizer, ends)
        self._dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        self._special = tokenizers.special_mask(tokenizer)
        self._waiting: list[Record] = []
        self._letters = 0
        self._end = self._id_end = 0
        self._checksums = dict.fromkeys(CACHE_FILES, 0)
        for name in CACHE_FILES:
            self._write(name, np.zeros(int("offsets" in name), "<i8"))

    def add(self, record: Record) -> None:
        """Adds a record, which is encoded and written together with the records after it.

        Args:
          record: the record to add. It is left out, and counted as left out, if it has no token or only
            special tokens.

        Raises:
          CorpusError: the tokenizer refuses the text of this record, or of one added shortly before; the
            message names the record.
        """
        self._waiting.append(record)
        self._letters += len(record.text)
        if len(self._waiting) >= RECORDS_AT_ONCE or self._letters >= LETTERS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        """Writes the records that are still in memory, and the manifest that makes the folder a cache.

        Raises:
          CorpusError: the tokenizer refuses the text of a record; the message names the record.
        """
        self._flush()
        manifest = {
            "format": CACHE_FORMAT,
            "dtype": self._dtype.str,
            "counts": self.counts._asdict(),
            "pad_id": self._tokenizer.specials.pad or 0,
            "labelled": self._labelled,
            "tokenizer": self._tokenizer.fingerprint,
            "checksums": self._checksums,
        }
        (self._folder / "manifest.json").write_text(json.dumps(io.seal(manifest), indent=2), encoding="utf-8")

    def _flush(self) -> None:
        records, self._waiting, self._letters = self._waiting, [], 0
        if not records:
            return
        encoded = _encode(records, self._tokenizer)
        lengths = np.asarray([len(tokens) for tokens in encoded], np.int64)
        maskable = np.asarray([not self._special[tokens].all() for tokens in encoded])
        kept = [self._frame.around(tokens) for tokens, keep in zip(encoded, maskable, strict=True) if keep]
        records = [record for record, keep in zip(records, maskable, strict=True) if keep]
        names = [record.id.encode("utf-8", "surrogateescape") for record in records]
        flat = np.concatenate([np.zeros(0, np.int32), *kept])
        self._count(lengths, maskable, flat)
        self._write("tokens", flat.astype(self._dtype))
        self._end = self._write_ends("offsets", [len(tokens) for tokens in kept], self._end)
        self._write("ids", np.frombuffer(b"".join(names), "u1"))
        self._id_end = self._write_ends("id_offsets", [len(name) for name in names], self._id_end)
        sizes = [len(record.text.encode("utf-8", "surrogatepass")) for record in records]
        self._write("byte_lengths", np.asarray(sizes, "<i8"))
        if self._labelled:
            self._write("labels", np.asarray([float(record.meta["label"]) for record in records], "<f8"))

    def _count(self, lengths: np.ndarray, maskable: np.ndarray, flat: np.ndarray) -> None:
        unknown = self._tokenizer.specials.unk
        block = CacheCounts(
            records=int(maskable.sum()),
            tokens=len(flat),
            unknown=0 if unknown is None else int(np.count_nonzero(flat == unknown)),
            empty=int(np.count_nonzero(lengths == 0)),
            unmaskable=int(np.count_nonzero(~maskable & (lengths > 0))),
        )
        self.counts = CacheCounts(*map(sum, zip(self.counts, block, strict=True)))

    def _write_ends(self, name: CacheFile, lengths: list[int], start: int) -> int:
        ends = start + np.cumsum(np.asarray(lengths, "<i8"))
        self._write(name, ends)
        return int(ends[-1]) if len(ends) else start

    def _write(self, name: CacheFile, values: np.ndarray) -> None:
        data = values.tobytes()
        self._checksums[name] = zlib.crc32(data, self._checksums[name])
        with open(self._folder / f"{name}.bin", "ab") as file:
            file.write(data)


def nothing_to_mask(num_records: int) -> str:
    """Returns the error message for a corpus that holds only special tokens.

    Args:
      num_records: the number of its records.

    Returns:
      One line: what was expected, what came, and the remedy.
    """
    return (
        f"nothing in the corpus can be masked: expected records with tokens of their own, its "
        f"{num_records:,} records hold only special tokens; give others"
    )


def ends_frame(tokenizer: tokenizers.Tokenizer, ends: EndTokens) -> tokenizers.Frame:
    """Returns the ids before and after each record.

    Args:
      tokenizer: encodes the records.
      ends: as for `CacheWriter`.

    Raises:
      CorpusError: as `CacheWriter`.
    """
    if isinstance(ends, tokenizers.Frame):
        return ends
    if ends == "file":
        return tokenizers.file_frame(tokenizer)
    frame = tokenizers.text_frame(tokenizer, "training") if ends else tokenizers.Frame()
    if ends and frame == tokenizers.Frame():
        raise CorpusError(
            f"ends: expected a tokenizer with a token that opens or closes a text, such as [CLS] or <eos>; "
            f"{tokenizer!r} has none: leave ends out, or take another"
        )
    return frame


def _encode(records: list[Record], tokenizer: tokenizers.Tokenizer) -> list[np.ndarray]:
    try:
        return tokenizer.encode_batch([record.text for record in records])
    except ValueError:
        for record in records:
            try:
                tokenizer.encode(record.text)
            except ValueError as error:
                where = f"{record.meta['where']}: record " if "where" in record.meta else ""
                raise CorpusError(f"{where}{record.id}: {error}") from error
        raise
