"""Splitting of an axis, with a gradient that is one concatenation."""

import jax.numpy as jnp

from jaxlm.ops._derivatives import with_backward
from jaxlm.typing import Array, Float


def split(inputs: Float[Array, "..."], sizes: tuple[int, ...], axis: int) -> tuple[Float[Array, "..."], ...]:
    """Returns consecutive parts of an axis.

    It is meant for arrays whose gradient is taken: here the gradients of the parts are concatenated. JAX's
    gradient of a slice is a zero-padded array, one for each part, and adding these took longer than attention
    itself on a CPU.

    Args:
      inputs: an array of any shape.
      sizes: the sizes of the parts; they sum up to the size of the axis.
      axis: the axis that is divided.

    Returns:
      A tuple of arrays, one for each size.

    Raises:
      ValueError: if the sizes do not sum up to the axis.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import split
      >>> [part.tolist() for part in split(jnp.arange(4.0), (1, 3), 0)]
      [[0.0], [1.0, 2.0, 3.0]]
    """
    if sum(sizes) != inputs.shape[axis]:
        raise ValueError(f"sizes sum up to the axis: got {sizes} for {inputs.shape[axis]} (axis {axis})")
    return _split(inputs, tuple(sizes), axis)


def _plain_split(inputs: Array, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    stops = [sum(sizes[: part + 1]) for part in range(len(sizes))]
    return tuple(jnp.split(inputs, stops[:-1], axis=axis))


def _split_forward(inputs: Array, sizes: tuple[int, ...], axis: int) -> tuple[tuple[Array, ...], None]:
    return _plain_split(inputs, sizes, axis), None


def _split_backward(sizes: tuple[int, ...], axis: int, _: None, parts: tuple[Array, ...]) -> tuple[Array]:
    del sizes
    return (jnp.concatenate(parts, axis=axis),)


_split = with_backward(_plain_split, _split_forward, _split_backward, static=(1, 2))
