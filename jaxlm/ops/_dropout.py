"""Dropout whose mask is a hash of the key and the element's index, which needs no memory and no generator.

On a CPU a counter-mode generator (Threefry) took longer than all products of an attention layer. XLA fuses
the hash into the operation that uses the mask, and the backward pass computes it again instead of storing it.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxlm.ops._derivatives import with_backward
from jaxlm.ops._noise import key_words
from jaxlm.typing import Array, Bool, Float, Key, UInt32

# Two odd multipliers (and the shifts in `_mixed`), from a search for 32-bit hashes with little bias.
_FIRST, _SECOND = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
# 2^32 divided by the golden ratio, an odd number: spreads consecutive counters over 32 bits.
_STRIDE = np.uint32(0x9E3779B9)


def dropout(rng: Key[Array, ""], inputs: Float[Array, "..."], rate: float) -> Float[Array, "..."]:
    """Returns the inputs with each element zeroed with probability `rate` and the rest divided by `1 - rate`.

    The choice of elements depends only on the key and the shape: it is the same on every backend and under
    any sharding.

    Args:
      rng: PRNG key; use it for no other draw.
      inputs: `Float[...]`.
      rate: probability of zeroing an element, in [0, 1). 0 returns the inputs as they are.

    Returns:
      An array of the inputs' shape and dtype.

    Raises:
      ValueError: if `rate` is outside [0, 1).

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import dropout
      >>> import jax
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
    return _dropped(key_words(rng), inputs, float(rate))


def dropout_mask(words: UInt32[Array, " 2"], shape: tuple[int, ...], rate: float) -> Bool[Array, "..."]:
    """Returns a dropout mask: True = kept, with probability `1 - rate`, rounded to 2^-32.

    Each row (an index of all axes but the last) has a word hashed from its index and the key; each element is
    hashed from its column and its row's word.

    Args:
      words: two words of a key, from `key_words`.
      shape: the shape of the mask.
      rate: probability of False.

    Returns:
      `Bool[shape]`.

    Example:
      >>> from jaxlm.ops import key_words
      >>> from jaxlm.ops._dropout import dropout_mask
      >>> import jax
      >>> dropout_mask(key_words(jax.random.key(0)), (2, 3), 0.0).all().item()
      True
    """
    num_rows, num_columns = int(np.prod(shape[:-1])), int(np.prod(shape[-1:]))
    rows = _mixed(_mixed(lax.iota(jnp.uint32, num_rows) * _STRIDE + words[0]) + words[1])
    columns = lax.iota(jnp.uint32, num_columns) * _STRIDE
    bits = _mixed(rows[:, None] + columns[None, :])
    return (bits >= np.uint32(min(round(rate * 2**32), 2**32 - 1))).reshape(shape)


def _mixed(words: Array) -> Array:
    words = (words ^ (words >> np.uint32(16))) * _FIRST
    words = (words ^ (words >> np.uint32(15))) * _SECOND
    return words ^ (words >> np.uint32(16))


def _plain_dropped(words: Array, inputs: Array, rate: float) -> Array:
    mask = dropout_mask(words, inputs.shape, rate)
    scaled = inputs.astype(jnp.float32) * np.float32(1.0 / (1.0 - rate))
    return jnp.where(mask, scaled, 0.0).astype(inputs.dtype)


def _dropped_forward(words: Array, inputs: Array, rate: float) -> tuple[Array, Array]:
    return _plain_dropped(words, inputs, rate), words


def _dropped_backward(rate: float, words: Array, upstream: Array) -> tuple[None, Array]:
    return None, _plain_dropped(words, upstream, rate)


_dropped = with_backward(_plain_dropped, _dropped_forward, _dropped_backward, static=(2,))
