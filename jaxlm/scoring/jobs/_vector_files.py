"""The vectors of a finished job as one file of NumPy."""

import io as streams
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxlm import io
from jaxlm.errors import UsageError
from jaxlm.scoring.jobs._finish import read_parts

VECTORS_FILE = "vectors.npy"


def write_vectors(out: str, column: str = "vector") -> tuple[int, int]:
    """Writes the vectors of a finished job into `vectors.npy`, beside its parts; returns the array's shape.

    The file holds `Float32[N D]`, the vectors of N documents in their order; a document without a vector has
    a row of NaN. In a local folder the file is written part by part, so that only one part is in memory.

    Args:
      out: the folder or URL that `run_job` was given.
      column: the column with the vectors.

    Raises:
      UsageError: if the job has not finished, or has no column of vectors with this name.
      WorkError: if a part is missing, changed or damaged.
      WriteError: if the file cannot be written.

    Example:
      >>> from jaxlm.scoring import write_vectors
      >>> write_vectors("./nowhere")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: ./nowhere holds no finished job: it has no manifest.json
    """
    num_rows, width = 0, None
    for table in read_parts(out):
        width = _width(out, table.schema, column)
        num_rows += table.num_rows
    if width is None:
        raise UsageError(f"{out} has no document, so that it has no vectors")
    shape = (num_rows, width)
    store = io.open_store(out)
    if isinstance(store, io.LocalStore):
        path = Path(store.place) / VECTORS_FILE
        io.write_atomically(path, lambda partial: _write(partial, out, column, shape))
        return shape
    array = np.empty(shape, np.float32)
    _fill_rows(array, out, column)
    payload = streams.BytesIO()
    np.save(payload, array)
    store.put(VECTORS_FILE, payload.getvalue())
    return shape


def _width(out: str, schema: pa.Schema, column: str) -> int:
    kind = schema.field(column).type if column in schema.names else None
    width = getattr(kind, "list_size", None)
    if width is None:
        raise UsageError(f"{out} has no vectors in a column {column!r}: embed with a pooling other than none")
    return width


def _write(path: Path, out: str, column: str, shape: tuple[int, int]) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    _fill_rows(array, out, column)
    array.flush()


def _fill_rows(array: np.ndarray, out: str, column: str) -> None:
    start = 0
    for table in read_parts(out):
        values = table[column].combine_chunks()
        rows = array[start : start + table.num_rows]
        # `values` of a sliced array begin before the slice; `flatten` leaves nulls out.
        rows[:] = np.nan
        known = values.is_valid().to_numpy(zero_copy_only=False)
        rows[known] = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, array.shape[1])
        start += table.num_rows
