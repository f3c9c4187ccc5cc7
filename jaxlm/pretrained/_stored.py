"""A tensor in a file that is read only when it is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]


class StoredTensor(NamedTuple):
    """A tensor in a file that was not read yet.

    Attributes:
      file: the file that holds it.
      dtype: the dtype in the file.
      shape: the shape.
      read: returns the tensor as a read-only array over the pages of the mapped file.
    """

    file: Path
    dtype: np.dtype
    shape: Shape
    read: Callable[[], np.ndarray]
