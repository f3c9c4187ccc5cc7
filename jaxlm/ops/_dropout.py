"""Dropout from one draw of bits."""

import jax
import jax.numpy as jnp

from jaxlm.typing import Array, Float, Key


def dropout(rng: Key[Array, ""], inputs: Float[Array, "..."], rate: float) -> Float[Array, "..."]:
    """Returns the inputs with each element zeroed with probability `rate` and the rest divided by `1 - rate`.

    Args:
      rng: PRNG key, consumed.
      inputs: `Float[...]`.
      rate: probability of zeroing an element, in [0, 1). 0 returns the inputs as they are.

    Returns:
      An array of the inputs' shape and dtype.

    Raises:
      ValueError: if `rate` is outside [0, 1).

    Example:
      >>> dropped = dropout(jax.random.key(0), jnp.ones(1000), 0.5)
      >>> sorted(set(dropped.tolist()))
      [0.0, 2.0]

    References:
      Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate lies in [0, 1), got {rate}")
    if rate == 0.0:
        return inputs
    keep = jax.random.bernoulli(rng, 1.0 - rate, inputs.shape)
    return jnp.where(keep, inputs / (1.0 - rate), jnp.zeros_like(inputs))
