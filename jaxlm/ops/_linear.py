"""The affine map, with products accumulated in float32 in the forward and the backward pass."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxlm.ops._derivatives import with_backward
from jaxlm.ops._products import product
from jaxlm.typing import Array, Float


def linear(
    inputs: Float[Array, "*batch D"],
    kernel: Float[Array, "F D"],
    bias: Float[Array, " F"] | None = None,
    *,
    preferred: DTypeLike | None = None,
) -> Float[Array, "*batch F"]:
    """Returns `inputs @ kernel.T + bias`, computed in the inputs' dtype and accumulated in float32.

    Kernels are stored `[out, in]`: in bfloat16 on a CPU, products that contract both last axes are twice as
    fast, and Hugging Face files have this layout. The kernel is cast to the inputs' dtype. The gradients of
    kernel and bias are accumulated in float32 and returned in the dtype of kernel and bias, so that float32
    parameters get float32 gradients from bfloat16 inputs. Float32 products use the highest precision (a GPU's
    default is TF32).

    Args:
      inputs: `Float[... D]`, any number of leading axes.
      kernel: `Float[F D]`, of any float dtype.
      bias: `Float[F]`, added to the products; None: nothing is added.
      preferred: dtype of the result; None: the dtype of the inputs. `jnp.float32` returns the accumulated
        sums without rounding them.

    Returns:
      `Float[... F]` in the dtype `preferred`, or else that of the inputs.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import linear
      >>> linear(jnp.ones((2, 3)), jnp.array([[1.0, 2.0, 3.0]])).tolist()
      [[6.0], [6.0]]
    """
    dtype = jnp.dtype(inputs.dtype if preferred is None else preferred)
    rows = inputs.reshape(-1, inputs.shape[-1])
    outputs = _affine(rows, kernel, bias, dtype)
    return outputs.reshape(*inputs.shape[:-1], kernel.shape[0])


def _plain_affine(rows: Array, kernel: Array, bias: Array | None, dtype: jnp.dtype) -> Array:
    outputs = product(rows, kernel.astype(rows.dtype), 1, 1)
    if bias is not None:
        outputs = outputs + bias.astype(jnp.float32)[None, :]
    return outputs.astype(dtype)


def _affine_forward(rows: Array, kernel: Array, bias: Array | None, dtype: jnp.dtype) -> tuple[Array, tuple]:
    return _plain_affine(rows, kernel, bias, dtype), (rows, kernel, bias)


def _affine_backward(dtype: jnp.dtype, saved: tuple, cotangent: Array) -> tuple[Array, Array, Array | None]:
    del dtype
    rows, kernel, bias = saved
    upstream = cotangent.astype(rows.dtype)
    rows_gradient = product(upstream, kernel.astype(rows.dtype), 1, 0).astype(rows.dtype)
    kernel_gradient = product(upstream, rows, 0, 0).astype(kernel.dtype)
    if bias is None:
        return rows_gradient, kernel_gradient, None
    return rows_gradient, kernel_gradient, cotangent.astype(jnp.float32).sum(0).astype(bias.dtype)


_affine = with_backward(_plain_affine, _affine_forward, _affine_backward, static=(3,))
