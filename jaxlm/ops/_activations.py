"""Activations, computed in float32 for every dtype, in forms that XLA vectorises on a CPU.

Only the inputs are stored for the backward pass, which computes the derivative from them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.ops._derivatives import with_backward
from jaxlm.typing import Array, Float

_ROOT_HALF = np.float32(0.5**0.5)
_DENSITY_AT_ZERO = np.float32((2 * np.pi) ** -0.5)
# Twice the polynomial within the tanh, which makes the tanh a logistic function.
_TANH_LINEAR = np.float32(2 * (2 / np.pi) ** 0.5)
_TANH_CUBIC = np.float32(2 * (2 / np.pi) ** 0.5 * 0.044715)


def _gelu_slope(values: Array) -> Array:
    density = _DENSITY_AT_ZERO * jnp.exp(np.float32(-0.5) * values * values)
    return _distribution(values) + values * density


def _gelu_tanh_slope(values: Array) -> Array:
    share = lax.logistic(_tanh_argument(values))
    # Beyond this the share is 0 or 1, and the square of a large value would be infinite.
    near = jnp.clip(values, np.float32(-30.0), np.float32(30.0))
    steepness = _TANH_LINEAR + np.float32(3) * _TANH_CUBIC * near * near
    return share + near * share * (np.float32(1) - share) * steepness


def _silu_slope(values: Array) -> Array:
    share = lax.logistic(values)
    return share * (np.float32(1) + values * (np.float32(1) - share))


def _distribution(values: Array) -> Array:
    return np.float32(0.5) + np.float32(0.5) * lax.erf(values * _ROOT_HALF)


def _tanh_argument(values: Array) -> Array:
    return values * (_TANH_LINEAR + _TANH_CUBIC * values * values)


def _with_slope(slope: Callable[[Array], Array]) -> Callable[[Callable], Callable]:
    """Returns a decorator that gives a function the derivative `slope`, a function of the float32 inputs."""

    def sloped(inputs: Array, change: Array) -> Array:
        return (change.astype(jnp.float32) * slope(inputs.astype(jnp.float32))).astype(inputs.dtype)

    def decorate(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        def forward(inputs: Array) -> tuple[Array, Array]:
            return plain(inputs), inputs

        def backward(inputs: Array, upstream: Array) -> tuple[Array]:
            return (sloped(inputs, upstream),)

        plain = jax.custom_jvp(function)
        plain.defjvp(lambda inputs, changes: (plain(*inputs), sloped(*inputs, *changes)))
        return with_backward(plain, forward, backward)

    return decorate


@_with_slope(_gelu_slope)
def gelu(inputs: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns `x Phi(x)`, with Phi the standard normal's distribution function.

    The exact form (erf), computed in float32 for every dtype. Within 1e-6 of `jax.nn.gelu(inputs,
    approximate=False)`, whose complementary error function branches and takes two to three times as long
    on CPU.

    Args:
      inputs: `Float[...]`.

    Returns:
      An array of the inputs' shape and dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import gelu
      >>> gelu(jnp.array([0.0, 100.0])).tolist()
      [0.0, 100.0]

    References:
      Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, https://arxiv.org/abs/1606.08415.
    """
    values = inputs.astype(jnp.float32)
    return (values * _distribution(values)).astype(inputs.dtype)


@_with_slope(_gelu_tanh_slope)
def gelu_tanh(inputs: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, the approximation of the GELU.

    Computed in float32 for every dtype, as the equivalent product of `x` and a logistic function. In bfloat16
    it takes half the time of `jax.nn.gelu`, which rounds after each step.

    Args:
      inputs: `Float[...]`.

    Returns:
      An array of the inputs' shape and dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import gelu_tanh
      >>> [round(value, 4) for value in gelu_tanh(jnp.array([0.0, 1.0, 100.0])).tolist()]
      [0.0, 0.8412, 100.0]

    References:
      Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, https://arxiv.org/abs/1606.08415.
    """
    values = inputs.astype(jnp.float32)
    return (values * lax.logistic(_tanh_argument(values))).astype(inputs.dtype)


@_with_slope(_silu_slope)
def silu(inputs: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns `x / (1 + exp(-x))`, computed in float32 for every dtype.

    Args:
      inputs: `Float[...]`.

    Returns:
      An array of the inputs' shape and dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import silu
      >>> [round(value, 4) for value in silu(jnp.array([0.0, 1.0, 100.0])).tolist()]
      [0.0, 0.7311, 100.0]

    References:
      Elfwing et al., "Sigmoid-Weighted Linear Units", 2017, https://arxiv.org/abs/1702.03118.
    """
    values = inputs.astype(jnp.float32)
    return (values * lax.logistic(values)).astype(inputs.dtype)
