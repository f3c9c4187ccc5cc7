"""The exact GELU, written so that forward and backward vectorise."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.typing import Array, Float

_ROOT_HALF = np.float32(0.5**0.5)
_DENSITY_AT_ZERO = np.float32((2 * np.pi) ** -0.5)


@jax.custom_vjp
def gelu(inputs: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns `x Phi(x)`, with Phi the standard normal's distribution function.

    The exact form (erf), in float32 whatever the dtype. Within 1e-6 of `jax.nn.gelu(inputs,
    approximate=False)`, whose complementary error function branches and takes two to three times as long
    on CPU. Only the inputs are kept for the backward pass.

    Args:
      inputs: `Float[...]`.

    Returns:
      An array of the inputs' shape and dtype.

    Example:
      >>> gelu(jnp.array([0.0, 100.0])).tolist()
      [0.0, 100.0]

    References:
      Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, https://arxiv.org/abs/1606.08415.
    """
    values = inputs.astype(jnp.float32)
    return (values * _distribution(values)).astype(inputs.dtype)


def _gelu_forward(inputs: Array) -> tuple[Array, Array]:
    return gelu(inputs), inputs


def _gelu_backward(inputs: Array, upstream: Array) -> tuple[Array]:
    values = inputs.astype(jnp.float32)
    density = _DENSITY_AT_ZERO * jnp.exp(np.float32(-0.5) * values * values)
    slope = _distribution(values) + values * density
    return ((upstream.astype(jnp.float32) * slope).astype(inputs.dtype),)


def _distribution(values: Array) -> Array:
    return np.float32(0.5) + np.float32(0.5) * lax.erf(values * _ROOT_HALF)


gelu.defvjp(_gelu_forward, _gelu_backward)
