"""The file of a part: a Parquet table that carries its own SHA-256, and how it is checked."""

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxlm import io

# The digest's bytes while the SHA-256 is computed, and the bytes of the footer before them.
UNKNOWN_DIGEST, BEFORE = b"0" * 64, io.SEAL.encode() + b"\x18\x40"


def part_name(number: int) -> str:
    """Returns the name of a part's file.

    Example:
      >>> from jaxlm.scoring.jobs._part_files import part_name
      >>> part_name(12)
      'parts/part-000012.parquet'
    """
    return f"parts/part-{number:06d}.parquet"


def part_number(name: str) -> int | None:
    """Returns the number of the part that has a file name; None if no part has it.

    Example:
      >>> from jaxlm.scoring.jobs._part_files import part_number
      >>> part_number("parts/part-000012.parquet"), part_number("parts/._part-000012.parquet")
      (12, None)
    """
    digits = re.fullmatch(r"parts/part-(\d+)\.parquet", name, re.ASCII)
    number = None if digits is None else int(digits[1][:18])
    return None if number is None or part_name(number) != name else number


def seal_table(table: pa.Table) -> bytes:
    """Returns a table as a Parquet file (zstd) that carries the SHA-256 of all its bytes.

    The digest is in the footer's metadata as `sha256`: that of the file with 64 zeros in the digest's place.

    Args:
      table: with its metadata.

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._part_files import holds_seal, seal_table
      >>> file = seal_table(pa.table({"a": [1, 2]}))
      >>> holds_seal(file), holds_seal(file[:9] + b"?" + file[10:])
      (True, False)
    """
    file = BytesIO()
    with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({io.SEAL: UNKNOWN_DIGEST.decode()})
    payload = file.getvalue()
    # The last match: columns, whose values may contain the same bytes, come before the footer.
    start = payload.rindex(BEFORE + UNKNOWN_DIGEST) + len(BEFORE)
    digest = hashlib.sha256(payload).hexdigest().encode()
    return payload[:start] + digest + payload[start + len(UNKNOWN_DIGEST) :]


def holds_seal(payload: bytes) -> bool | None:
    """Returns whether a file's bytes have the SHA-256 that the file carries; None if it carries none.

    Args:
      payload: the file's bytes.
    """
    carried = (pq.read_metadata(pa.BufferReader(payload)).metadata or {}).get(io.SEAL.encode())
    if carried is None:
        return None
    if not re.fullmatch(rb"[0-9a-f]{64}", carried):
        return False
    start = payload.rindex(carried)
    digest = hashlib.sha256(memoryview(payload)[:start])
    digest.update(UNKNOWN_DIGEST)
    digest.update(memoryview(payload)[start + len(carried) :])
    return digest.hexdigest().encode() == carried


class PartOrigin(NamedTuple):
    """The job and the number of a part, as its file says.

    Attributes:
      job: id of the job.
      part: the part's number.
      is_sealed: whether the file carries its SHA-256; older versions wrote none.
    """

    job: str
    part: int
    is_sealed: bool


def origin_of(payload: bytes) -> PartOrigin | None:
    """Returns the origin of a part; None if the bytes are no part or a damaged one.

    Args:
      payload: the file's bytes. If it carries no SHA-256, all rows are read and checked.
    """
    try:
        metadata, holds = _metadata(payload), holds_seal(payload)
        if holds is False:
            return None
        if holds is None:
            _check_rows(read_table(payload), metadata)
        return PartOrigin(metadata["job"], int(metadata["part"]), is_sealed=holds is not None)
    except (io.DamagedError, pa.ArrowException, OSError, ValueError, KeyError):
        return None


def read_table(payload: bytes) -> pa.Table:
    """Returns the table of a Parquet file.

    Args:
      payload: the file's bytes.

    Raises:
      DamagedError: if it cannot be read.
    """
    try:
        # Without pre_buffer: its threads may outlive the interpreter.
        return pq.read_table(pa.BufferReader(payload), pre_buffer=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise io.DamagedError(f"it cannot be read ({io.error_reason(error)})") from error


def _metadata(payload: bytes) -> dict[str, str]:
    metadata = pq.read_metadata(pa.BufferReader(payload)).metadata or {}
    return {name.decode(): value.decode() for name, value in metadata.items()}


def _check_rows(table: pa.Table, metadata: Mapping[str, str]) -> None:
    """Raises `DamagedError` if a table's rows are not those that its metadata names."""
    if not {"index", "id", "error"} <= set(table.column_names):
        raise io.DamagedError("columns are missing")
    first, documents = int(metadata["first"]), int(metadata["documents"])
    if documents < 1 or not np.array_equal(table["index"].to_numpy(), first + np.arange(documents)):
        raise io.DamagedError("its rows are not consecutive documents")
