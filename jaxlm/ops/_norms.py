"""LayerNorm and RMSNorm with float32 statistics and custom backward passes."""

import jax.numpy as jnp
from jax import lax

from jaxlm.ops._derivatives import with_backward
from jaxlm.typing import Array, Float


def layer_norm(
    inputs: Float[Array, "*batch D"],
    scale: Float[Array, " D"],
    bias: Float[Array, " D"] | None,
    epsilon: float,
) -> Float[Array, "*batch D"]:
    """Returns `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the last axis.

    Mean and variance (the biased one, divided by D) are float32; the result has the inputs' dtype. Only the
    inputs and the two statistics of each row are stored for the backward pass.

    Args:
      inputs: `Float[... D]`.
      scale: `Float[D]`, which the normalised features are multiplied by.
      bias: `Float[D]`, added at the end; None: nothing is added.
      epsilon: the number added to the variance.

    Returns:
      `Float[... D]` in the inputs' dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import layer_norm
      >>> layer_norm(jnp.array([[1.0, 3.0]]), jnp.ones(2), None, 0.0).tolist()
      [[-1.0, 1.0]]

    References:
      Ba et al., "Layer Normalization", 2016, https://arxiv.org/abs/1607.06450.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    return _normalised(rows, scale, bias, float(epsilon), True).reshape(inputs.shape)


def rms_norm(
    inputs: Float[Array, "*batch D"], scale: Float[Array, " D"], epsilon: float
) -> Float[Array, "*batch D"]:
    """Returns `x / sqrt(mean(x^2) + epsilon) * scale` over the last axis, the mean in float32.

    Args:
      inputs: `Float[... D]`.
      scale: `Float[D]`, which the normalised features are multiplied by.
      epsilon: the number added to the mean square.

    Returns:
      `Float[... D]` in the inputs' dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import rms_norm
      >>> rms_norm(jnp.array([[3.0, 3.0]]), jnp.ones(2), 0.0).tolist()
      [[1.0, 1.0]]

    References:
      Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, https://arxiv.org/abs/1910.07467.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    return _normalised(rows, scale, None, float(epsilon), False).reshape(inputs.shape)


def _plain_normalised(rows: Array, scale: Array, bias: Array | None, epsilon: float, centre: bool) -> Array:
    return _normalised_forward(rows, scale, bias, epsilon, centre)[0]


def _normalised_forward(
    rows: Array, scale: Array, bias: Array | None, epsilon: float, centre: bool
) -> tuple[Array, tuple]:
    mean, inverse = _statistics(rows, epsilon, centre)
    outputs = (rows.astype(jnp.float32) - mean) * inverse * scale.astype(jnp.float32)[None, :]
    if bias is not None:
        outputs = outputs + bias.astype(jnp.float32)[None, :]
    return outputs.astype(rows.dtype), (rows, mean, inverse, scale, bias)


def _normalised_backward(epsilon: float, centre: bool, saved: tuple, upstream: Array) -> tuple:
    del epsilon
    rows, mean, inverse, scale, bias = saved
    upstream = upstream.astype(jnp.float32)
    unit = (rows.astype(jnp.float32) - mean) * inverse
    scaled = upstream * scale.astype(jnp.float32)[None, :]
    gradient = scaled - unit * (scaled * unit).mean(-1, keepdims=True)
    if centre:
        gradient = gradient - scaled.mean(-1, keepdims=True)
    scale_gradient = (upstream * unit).sum(0).astype(scale.dtype)
    bias_gradient = None if bias is None else upstream.sum(0).astype(bias.dtype)
    return (gradient * inverse).astype(rows.dtype), scale_gradient, bias_gradient


def _statistics(rows: Array, epsilon: float, centre: bool) -> tuple[Array, Array]:
    values = rows.astype(jnp.float32)
    mean = values.mean(-1, keepdims=True) if centre else jnp.zeros((rows.shape[0], 1), jnp.float32)
    variance = jnp.square(values - mean).mean(-1, keepdims=True)
    return mean, lax.rsqrt(variance + epsilon)


_normalised = with_backward(_plain_normalised, _normalised_forward, _normalised_backward, static=(3, 4))
