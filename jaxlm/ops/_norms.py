"""Layer and root-mean-square normalisation with float32 statistics."""

import jax.numpy as jnp
from jax import lax

from jaxlm.typing import Array, Float


def layer_norm(
    inputs: Float[Array, "*batch D"],
    scale: Float[Array, " D"],
    bias: Float[Array, " D"] | None,
    epsilon: float,
) -> Float[Array, "*batch D"]:
    """Returns `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the last axis.

    Mean and (biased) variance are float32; the result has the inputs' dtype.

    Args:
      inputs: `Float[... D]`.
      scale: `Float[D]`.
      bias: `Float[D]`, or None for none.
      epsilon: added to the variance.

    Returns:
      `Float[... D]` in the inputs' dtype.

    Example:
      >>> layer_norm(jnp.array([[1.0, 3.0]]), jnp.ones(2), None, 0.0).tolist()
      [[-1.0, 1.0]]

    References:
      Ba et al., "Layer Normalization", 2016, https://arxiv.org/abs/1607.06450.
    """
    values = inputs.astype(jnp.float32)
    centred = values - values.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    outputs = centred * lax.rsqrt(variance + epsilon) * _last_axis(scale, inputs.ndim)
    if bias is not None:
        outputs = outputs + _last_axis(bias, inputs.ndim)
    return outputs.astype(inputs.dtype)


def rms_norm(
    inputs: Float[Array, "*batch D"], scale: Float[Array, " D"], epsilon: float
) -> Float[Array, "*batch D"]:
    """Returns `x / sqrt(mean(x^2) + epsilon) * scale` over the last axis, the mean in float32.

    Args:
      inputs: `Float[... D]`.
      scale: `Float[D]`.
      epsilon: added to the mean square.

    Returns:
      `Float[... D]` in the inputs' dtype.

    Example:
      >>> rms_norm(jnp.array([[3.0, 3.0]]), jnp.ones(2), 0.0).tolist()
      [[1.0, 1.0]]

    References:
      Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, https://arxiv.org/abs/1910.07467.
    """
    values = inputs.astype(jnp.float32)
    mean_square = jnp.square(values).mean(-1, keepdims=True)
    outputs = values * lax.rsqrt(mean_square + epsilon) * _last_axis(scale, inputs.ndim)
    return outputs.astype(inputs.dtype)


def _last_axis(vector: Array, ndim: int) -> Array:
    return vector.astype(jnp.float32).reshape((1,) * (ndim - 1) + vector.shape)
