"""Columns of vectors: from the NumPy arrays of rows to Arrow's lists of one length."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Returns the values of a column as an Arrow array; vectors and lists of vectors may be NumPy arrays.

    Args:
      values: one a row; None: null.
      kind: the column's type.

    Example:
      >>> import numpy as np
      >>> import pyarrow as pa
      >>> from jaxlm.scoring.jobs._vectors import column_of
      >>> column_of([np.ones(2, np.float32), None], pa.list_(pa.float32(), 2)).to_pylist()
      [[1.0, 1.0], None]
    """
    if pa.types.is_fixed_size_list(kind):
        return _vectors(values, kind)
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        lists = [
            np.zeros((0, kind.value_type.list_size)) if own is None else np.asarray(own) for own in values
        ]
        offsets = np.cumsum([0, *map(len, lists)], dtype=np.int32)
        inner = _vectors([vector for own in lists for vector in own], kind.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets), inner, type=kind, mask=_nulls(values))
    return pa.array(values, kind)


def _vectors(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Vectors of one length, as a fixed-size list."""
    flat = np.zeros((len(values), kind.list_size), kind.value_type.to_pandas_dtype())
    for row, vector in enumerate(values):
        if vector is not None:
            flat[row] = vector
    inner = pa.array(flat.reshape(-1), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(inner, type=kind, mask=_nulls(values))


def _nulls(values: Sequence[Any]) -> pa.Array:
    return pa.array([value is None for value in values], pa.bool_())
