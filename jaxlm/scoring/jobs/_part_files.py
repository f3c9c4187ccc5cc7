"""The file of a part: a table as Parquet that carries its own SHA-256, and what is verified of it."""

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxlm import io

# What a file's SHA-256 is taken with, in its own place, and what stands before that in a footer.
UNKNOWN_DIGEST, BEFORE = b"0" * 64, io.SEAL.encode() + b"\x18\x40"


def part_name(number: int) -> str:
    """Returns the name of a part's file.

    Example:
      >>> part_name(12)
      'parts/part-000012.parquet'
    """
    return f"parts/part-{number:06d}.parquet"


def part_number(name: str) -> int | None:
    """Returns the number of the part that a file's name is of; None of the name of any other file.

    Example:
      >>> part_number("parts/part-000012.parquet"), part_number("parts/._part-000012.parquet")
      (12, None)
    """
    digits = re.fullmatch(r"parts/part-(\d+)\.parquet", name, re.ASCII)
    number = None if digits is None else int(digits[1][:18])
    return None if number is None or part_name(number) != name else number


def seal_table(table: pa.Table) -> bytes:
    """Returns a table as a Parquet file (zstd) that carries the SHA-256 of all its bytes.

    The digest is in the footer's metadata, as `sha256`: of the file with 64 zeros in the digest's place.

    Args:
      table: with metadata of its own.

    Example:
      >>> file = seal_table(pa.table({"a": [1, 2]}))
      >>> holds_seal(file), holds_seal(file[:9] + b"?" + file[10:])
      (True, False)
    """
    file = BytesIO()
    with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({io.SEAL: UNKNOWN_DIGEST.decode()})
    payload = file.getvalue()
    # The last such place: values of columns stand before the footer's metadata.
    place = payload.rindex(BEFORE + UNKNOWN_DIGEST) + len(BEFORE)
    digest = hashlib.sha256(payload).hexdigest().encode()
    return payload[:place] + digest + payload[place + len(UNKNOWN_DIGEST) :]


def holds_seal(payload: bytes) -> bool | None:
    """Returns whether a file's bytes are those that its SHA-256 was taken of; None where it carries none.

    Args:
      payload: the file's bytes.
    """
    kept = (pq.read_metadata(pa.BufferReader(payload)).metadata or {}).get(io.SEAL.encode())
    if kept is None:
        return None
    if not re.fullmatch(rb"[0-9a-f]{64}", kept):
        return False
    place = payload.rindex(kept)
    digest = hashlib.sha256(memoryview(payload)[:place])
    digest.update(UNKNOWN_DIGEST)
    digest.update(memoryview(payload)[place + len(kept) :])
    return digest.hexdigest().encode() == kept


class PartOrigin(NamedTuple):
    """Where a part comes from, as its file says.

    Attributes:
      job: id of its job.
      part: its number.
      is_sealed: whether it carries its SHA-256; those of older versions do not.
    """

    job: str
    part: int
    is_sealed: bool


def origin_of(payload: bytes) -> PartOrigin | None:
    """Returns where a part comes from; None of bytes that are no part as it was written.

    Args:
      payload: the file's bytes. Of a part without SHA-256 all rows are read.
    """
    try:
        kept, holds = _metadata(payload), holds_seal(payload)
        if holds is False:
            return None
        if holds is None:
            _check_rows(read_table(payload), kept)
        return PartOrigin(kept["job"], int(kept["part"]), is_sealed=holds is not None)
    except (io.DamagedError, pa.ArrowException, OSError, ValueError, KeyError):
        return None


def read_table(payload: bytes) -> pa.Table:
    """Returns the table of a Parquet file.

    Args:
      payload: the file's bytes.

    Raises:
      DamagedError: it cannot be read.
    """
    try:
        # Reading ahead leaves threads at work that may outlive the interpreter.
        return pq.read_table(pa.BufferReader(payload), pre_buffer=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise io.DamagedError(f"it cannot be read ({io.error_reason(error)})") from error


def _metadata(payload: bytes) -> dict[str, str]:
    metadata = pq.read_metadata(pa.BufferReader(payload)).metadata or {}
    return {name.decode(): value.decode() for name, value in metadata.items()}


def _check_rows(table: pa.Table, kept: Mapping[str, str]) -> None:
    """Refuses a table whose rows are not those that its metadata names."""
    if not {"index", "id", "error"} <= set(table.column_names):
        raise io.DamagedError("columns are missing")
    first, documents = int(kept["first"]), int(kept["documents"])
    if documents < 1 or not np.array_equal(table["index"].to_numpy(), first + np.arange(documents)):
        raise io.DamagedError("its rows are not consecutive documents")
