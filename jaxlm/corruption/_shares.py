"""Shares of [0, 1] as integers in units of 2^-32, which host and device compare without rounding.

2^32 - 1 stands for the whole, because a `uint32` cannot hold 2^32.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WORDS = 1 << 32
FULL_SHARE = np.uint32(WORDS - 1)


def array_module(array: Any) -> ModuleType:
    """Returns `jnp` for a JAX array, traced or not, and `np` for anything else.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm.corruption._shares import array_module
      >>> array_module(np.zeros(1)) is np, array_module(jnp.zeros(1)) is jnp
      (True, True)
    """
    return jnp if isinstance(array, jax.Array) else np


def share_bound(share: float) -> int:
    """Returns how many of the 2^32 words a share of [0, 1] corresponds to.

    Example:
      >>> from jaxlm.corruption._shares import share_bound
      >>> share_bound(0.5) == 2**31
      True
    """
    return round(share * WORDS)


def as_shares(fractions: Any) -> Any:
    """Returns fractions in units of 2^-32, as `uint32`; a `uint32` array is returned unchanged.

    Args:
      fractions: in [0, 1], of any shape; values outside are clipped.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption._shares import as_shares
      >>> as_shares(np.array([0.0, 0.5, 1.0], np.float32)).tolist() == [0, 2**31, 2**32 - 1]
      True
    """
    if fractions.dtype == np.uint32:
        return fractions
    xp = array_module(fractions)
    inside = fractions.astype(np.float32).clip(0, 1)
    # 1 times 2^32 does not fit into a uint32; the largest float32 below 1, 1 - 2^-24, does.
    below = xp.minimum(inside, np.float32(1 - 2**-24)) * np.float32(WORDS)
    return xp.where(inside < 1, below.astype(np.uint32), FULL_SHARE)


def as_fractions(shares: Any) -> Any:
    """Returns shares in units of 2^-32 (`uint32`, 2^32 - 1 stands for 1) as `float32` fractions in [0, 1].

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import as_fractions
      >>> as_fractions(np.array([0, 2**31, 2**32 - 1], np.uint32)).tolist()
      [0.0, 0.5, 1.0]
    """
    return shares.astype(np.float32) * np.float32(1 / WORDS)


def is_below(words: Any, bound: Any) -> Any:
    """Returns which words are below a bound; for uniform words its share is their probability.

    Args:
      words: `uint32` array of NumPy or JAX.
      bound: an integer in [0, 2^32]; or an array of shares of the words' shape, in which 2^32 - 1 means all.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption._shares import is_below
      >>> is_below(np.array([0, 2**32 - 1], np.uint32), 2**32).tolist()
      [True, True]
    """
    if not isinstance(bound, int):
        return (words < bound) | (bound == FULL_SHARE)
    return array_module(words).ones_like(words, bool) if bound >= WORDS else words < np.uint32(bound)
