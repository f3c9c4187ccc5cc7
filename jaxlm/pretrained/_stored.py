"""A tensor that lies in a file and is read when it is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]


class StoredTensor(NamedTuple):
    """A tensor in a file, not read yet.

    Attributes:
      file: the file that holds it.
      dtype: as it is stored.
      shape: its lengths.
      read: returns it as a read-only array over the file's own pages: no memory of the process's own.
    """

    file: Path
    dtype: np.dtype
    shape: Shape
    read: Callable[[], np.ndarray]
