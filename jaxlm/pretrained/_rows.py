"""How tensors of a Hugging Face file make one parameter, and back: bytes are moved, none is changed."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.pretrained._tensors import Shape

TensorLayout = Literal["same", "transposed", "interleaved", "row"]


class TensorRow(NamedTuple):
    """One parameter, and the tensors of a file that hold it.

    Attributes:
      ours: the dotted name of the parameter, `body.block_00.attention.qkv.kernel`.
      theirs: the names of the tensors in the file; several are joined along the first axis, in this order.
      shape: the shape of the parameter.
      sizes: the length of the first axis in each of `theirs`; the sum is `shape[0]`.
      layout: the layout of each tensor in the file: "same" as ours; "transposed", `[in, out]`; "interleaved",
        query, key and value of the first head, then of the second (ours has all queries, all keys, all
        values); or "row", a vector as a matrix of one row.
      num_heads: the number of heads of an interleaved tensor.
    """

    ours: str
    theirs: tuple[str, ...]
    shape: Shape
    sizes: tuple[int, ...]
    layout: TensorLayout = "same"
    num_heads: int = 1


def file_shapes(row: TensorRow) -> list[Shape]:
    """Returns the shape in the file of each tensor of a row.

    Example:
      >>> from jaxlm.pretrained._rows import TensorRow, file_shapes
      >>> file_shapes(TensorRow("qk", ("q", "k"), (6, 5), (4, 2)))
      [(4, 5), (2, 5)]
      >>> file_shapes(TensorRow("output", ("o",), (6, 5), (6,), "transposed"))
      [(5, 6)]
    """
    shapes = [(size, *row.shape[1:]) for size in row.sizes]
    if row.layout == "row":
        return [(1, *shape) for shape in shapes]
    return [shape[::-1] if row.layout == "transposed" else shape for shape in shapes]


def parameter_part(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    """Returns one tensor of a file in our layout: a part of the parameter along its first axis.

    Args:
      row: the row.
      number: the index of the tensor in `row.theirs`.
      tensor: as in the file; a view of it is returned if no byte has to move.

    Example:
      >>> import numpy as np
      >>> from jaxlm.pretrained._rows import TensorRow, parameter_part
      >>> row = TensorRow("o", ("o",), (1, 2), (1,), "transposed")
      >>> parameter_part(row, 0, np.array([[1.0], [2.0]])).tolist()
      [[1.0, 2.0]]
    """
    return _LAYOUTS[row.layout].ours(row, number, tensor)


def file_part(row: TensorRow, number: int, part: np.ndarray) -> np.ndarray:
    """Returns one tensor as the file holds it, from its part of the parameter; undoes `parameter_part`.

    Args:
      row: the row.
      number: the index of the tensor in `row.theirs`.
      part: the part of the parameter along its first axis.
    """
    return _LAYOUTS[row.layout].theirs(row, number, part)


def to_parameter(row: TensorRow, tensors: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the parameter, from the tensors of the file in the row's order.

    Example:
      >>> import numpy as np
      >>> from jaxlm.pretrained._rows import TensorRow, to_parameter
      >>> to_parameter(TensorRow("qk", ("q", "k"), (3,), (2, 1)), [np.array([1, 2]), np.array([3])]).tolist()
      [1, 2, 3]
    """
    parts = [parameter_part(row, number, tensor) for number, tensor in enumerate(tensors)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def to_file_tensors(row: TensorRow, parameter: np.ndarray) -> list[np.ndarray]:
    """Returns the tensors of the file in the row's order; undoes `to_parameter`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.pretrained._rows import TensorRow, to_file_tensors
      >>> row = TensorRow("qk", ("q", "k"), (3,), (2, 1))
      >>> [part.tolist() for part in to_file_tensors(row, np.array([1, 2, 3]))]
      [[1, 2], [3]]
    """
    stops = np.cumsum(row.sizes)[:-1]
    parts = np.split(parameter, stops) if len(row.sizes) > 1 else [parameter]
    return [file_part(row, number, part) for number, part in enumerate(parts)]


class _LayoutConversion(NamedTuple):
    ours: Callable[[TensorRow, int, np.ndarray], np.ndarray]
    theirs: Callable[[TensorRow, int, np.ndarray], np.ndarray]


def _unchanged(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    del row, number
    return tensor


def _transposed(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    del row, number
    return tensor.T


def _only_row(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    del row, number
    return tensor[0]


def _as_row(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    del row, number
    return tensor[None]


def _by_role(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    del number
    return _swapped(tensor, row.num_heads, 3)


def _by_head(row: TensorRow, number: int, tensor: np.ndarray) -> np.ndarray:
    del number
    return _swapped(tensor, 3, row.num_heads)


def _swapped(tensor: np.ndarray, outer: int, inner: int) -> np.ndarray:
    """The first axis, read as `[outer, inner, rest]`, in the order `[inner, outer, rest]`."""
    return tensor.reshape(outer, inner, -1, *tensor.shape[1:]).swapaxes(0, 1).reshape(tensor.shape)


_LAYOUTS = {
    "same": _LayoutConversion(_unchanged, _unchanged),
    "transposed": _LayoutConversion(_transposed, _transposed),
    "interleaved": _LayoutConversion(_by_role, _by_head),
    "row": _LayoutConversion(_only_row, _as_row),
}
