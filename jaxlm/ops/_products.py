"""Matrix products that accumulate in float32, in the layouts that are fastest on the platform.

XLA's CPU backend uses the matrix units for bfloat16 only if the left operand is contracted over its last axis
and the result is float32. A product that contracts the left operand's rows, such as a kernel's gradient, runs
at a fifth of that speed. So the left operand is transposed in memory first; a layout constraint keeps XLA
from folding the transposition back into the product.

A product with fewer rows than a tile of the matrix units (as in decoding) does not use them and reaches a
twentieth of the memory bandwidth. So the rows are padded to a tile and become the right operand; the large
left operand is then read at two thirds of the bandwidth (as the right operand at half or less). Other
platforms are fast in any layout. The platform is that of the compilation target, known at trace time.
"""

import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint

from jaxlm.devices import current_target
from jaxlm.typing import Array, Float

# Rows of a tile of the CPU's matrix units.
TILE_ROWS = 16


def product(
    left: Float[Array, "..."],
    right: Float[Array, "..."],
    left_axis: int,
    right_axis: int,
    *,
    num_batch_axes: int = 0,
) -> Float[Array, "..."]:
    """Returns the product of two arrays of one dtype over one axis of each, as float32.

    Float32 operands use the highest precision (a GPU's default is TF32).

    Args:
      left: the left operand, its batch axes first.
      right: the right operand, its batch axes first.
      left_axis: the axis of `left` that is summed over.
      right_axis: the axis of `right` that is summed over.
      num_batch_axes: how many leading axes the two share.

    Returns:
      Batch axes, then the left operand's other axis, then the right one's.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops._products import product
      >>> product(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]]), 1, 1).tolist()
      [[11.0]]
    """
    num_rows = left.shape[2 * num_batch_axes + 1 - left_axis]
    if num_rows < TILE_ROWS and left.dtype == jnp.bfloat16 and current_target().platform == "cpu":
        return _few_rows(left, right, left_axis, right_axis, num_batch_axes)
    batch = tuple(range(num_batch_axes))
    precision = lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
    if left_axis == num_batch_axes and left.dtype != jnp.float32:
        left, left_axis = transposed(left), left.ndim - 1
    dims = (((left_axis,), (right_axis,)), (batch, batch))
    return lax.dot_general(left, right, dims, precision=precision, preferred_element_type=jnp.float32)


def _few_rows(left: Array, right: Array, left_axis: int, right_axis: int, num_batch_axes: int) -> Array:
    """Returns the product of fewer rows than a tile has, padded to a tile."""
    axis = 2 * num_batch_axes + 1 - left_axis
    num_rows = left.shape[axis]
    filler = [(0, TILE_ROWS - num_rows if index == axis else 0) for index in range(left.ndim)]
    filled = jnp.pad(left, filler)
    if right_axis == num_batch_axes:
        # The large operand would have to be transposed to stand on the left.
        outputs = product(filled, right, left_axis, right_axis, num_batch_axes=num_batch_axes)
        return lax.slice_in_dim(outputs, 0, num_rows, axis=num_batch_axes)
    columns = row_major(product(right, filled, right_axis, left_axis, num_batch_axes=num_batch_axes))
    return lax.slice_in_dim(columns, 0, num_rows, axis=columns.ndim - 1).swapaxes(-1, -2)


def transposed(array: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns the array with its last two axes swapped, on a CPU also in memory.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops._products import transposed
      >>> transposed(jnp.array([[1.0, 2.0]])).tolist()
      [[1.0], [2.0]]
    """
    return row_major(array.swapaxes(-1, -2))


def row_major(array: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns the same array; on a CPU its layout in memory follows the order of its axes.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops._products import row_major
      >>> row_major(jnp.ones((2, 3)).T).shape
      (3, 2)
    """
    if current_target().platform != "cpu":
        return array
    return with_layout_constraint(array, Layout(major_to_minor=tuple(range(array.ndim))))
