"""Safetensors files, memory-mapped; the header is checked against the file before it is used."""

import math
import mmap
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import io
from jaxlm.errors import ModelError
from jaxlm.pretrained._stored import Shape, StoredTensor

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": jnp.dtype("bfloat16"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
LENGTH_BYTES = 8  # bytes that hold the header's length
MOST_HEADER = 100_000_000  # bytes; the format's own limit
MOST_AXES = 32
SIZE_LIMIT = 2**63  # of a length or an offset
POINTER = b"version https://git-lfs"


class _Entry(NamedTuple):
    """A tensor's entry in the header; its bytes are `start` to `stop` after the header."""

    dtype: np.dtype
    shape: Shape
    start: int
    stop: int


def open_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a safetensors file by name; the file is memory-mapped and no tensor is read.

    The header's length and every type, shape and offset are checked against the size of the file first: the
    tensors must fill the file from the header to its end, each as long as its shape and type require. Nothing
    is allocated before that.

    Args:
      path: the file.

    Raises:
      ModelError: one line that names the file: it is cut off, or is no safetensors file.

    Example:
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from jaxlm.pretrained._safetensors import open_safetensors
      >>> import tempfile, safetensors.numpy
      >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
      >>> safetensors.numpy.save_file({"scale": np.ones(3, np.float32)}, path)
      >>> tensor = open_safetensors(path)["scale"]
      >>> tensor.shape, tensor.read()
      ((3,), array([1., 1., 1.], dtype=float32))

    References:
      https://github.com/huggingface/safetensors (README, Format).
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            header, start = _header(file.read(LENGTH_BYTES), size, file)
            entries = _entries(header, size - start)
        except ValueError as error:
            raise ModelError(f"{path} is not a whole safetensors file: {error}") from error
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {
        name: StoredTensor(path, entry.dtype, entry.shape, partial(_read, pages, entry, start))
        for name, entry in entries.items()
    }


def _read(pages: mmap.mmap, entry: _Entry, offset: int) -> np.ndarray:
    count = math.prod(entry.shape)
    return np.frombuffer(pages, entry.dtype, count, offset + entry.start).reshape(entry.shape)


def _header(prefix: bytes, size: int, file: Any) -> tuple[dict[str, Any], int]:
    """The header, and the offset at which the tensors begin."""
    if len(prefix) < LENGTH_BYTES:
        raise ModelError(f"it has {size} bytes, and a header alone has more; fetch it again")
    length = int.from_bytes(prefix, "little")
    if length > min(MOST_HEADER, size - LENGTH_BYTES):
        if POINTER.startswith(prefix):
            raise ModelError("it is a Git LFS pointer to one; fetch the file itself: git lfs pull")
        raise ModelError(f"its header claims {length:,} bytes in a file of {size:,}; fetch it again")
    try:
        header = io.parse_json(file.read(length).decode("utf-8"), pairs_hook=_without_repetition)
    except ValueError as error:
        raise ModelError(f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise ModelError(f"its header is {type(header).__name__}, expected an object of tensors")
    return header, LENGTH_BYTES + length


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ModelError("a name stands in it twice")
    return values


def _entries(header: dict[str, Any], num_bytes: int) -> dict[str, _Entry]:
    """The entries of a header, checked against the number of bytes after it."""
    entries = {name: _entry(name, value) for name, value in header.items() if name != "__metadata__"}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != end:
            raise ModelError(f"tensor {name!r} begins at byte {entry.start:,}, expected at {end:,}")
        end = entry.stop
    if end > num_bytes:
        raise ModelError(
            f"it is cut off: its tensors take {end:,} bytes and it holds {num_bytes:,} of them; fetch it "
            f"again"
        )
    if end < num_bytes:
        raise ModelError(f"{num_bytes - end:,} bytes after its last tensor belong to none")
    return entries


def _entry(name: str, value: Any) -> _Entry:
    fields = value if isinstance(value, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), _counts(fields, "shape"), _counts(fields, "data_offsets")
    if not isinstance(dtype, str) or shape is None or offsets is None or len(offsets) != 2:
        raise ModelError(f"tensor {name!r} lacks a type, a shape or two offsets")
    if dtype not in DTYPES:
        raise ModelError(f"tensor {name!r} is of type {dtype}: those that are read are {', '.join(DTYPES)}")
    if len(shape) > MOST_AXES:
        raise ModelError(f"tensor {name!r} has {len(shape)} axes, at most {MOST_AXES} are read")
    entry = _Entry(DTYPES[dtype], tuple(shape), offsets[0], offsets[1])
    if math.prod(shape) * entry.dtype.itemsize != entry.stop - entry.start:
        raise ModelError(
            f"tensor {name!r}: offsets {entry.start:,} to {entry.stop:,} do not hold {dtype} {shape}"
        )
    return entry


def _counts(fields: dict[str, Any], key: str) -> list[int] | None:
    """The list of sizes or offsets in a field; None if the field holds anything else."""
    values = fields.get(key)
    if not isinstance(values, list):
        return None
    return values if all(type(value) is int and 0 <= value < SIZE_LIMIT for value in values) else None
