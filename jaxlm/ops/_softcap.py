"""The soft cap of logits."""

import jax.numpy as jnp

from jaxlm.typing import Array, Float


def apply_softcap(logits: Float[Array, "..."], softcap: float | None) -> Float[Array, "..."]:
    """Returns `c tanh(logits / c)` with c the soft cap, which bounds the logits to (-c, c).

    Args:
      logits: `Float[...]`.
      softcap: c, a positive number; None: the logits are returned unchanged.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import apply_softcap
      >>> apply_softcap(jnp.array([0.0, 1e6]), 30.0).tolist(), apply_softcap(jnp.array([1e6]), None).tolist()
      ([0.0, 30.0], [1000000.0])

    References:
      Gemma Team, "Gemma 2", 2024, https://arxiv.org/abs/2408.00118 (section 2).
    """
    return logits if softcap is None else softcap * jnp.tanh(logits / softcap)
