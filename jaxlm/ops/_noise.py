"""Random bits that depend on the example and the offset in it, not on the place in the batch.

Threefry-2x32 (20 rounds) is a keyed permutation of 64-bit counters. Its key here comes from (seed, epoch) and
its counter is (example id, offset in the example). So each position has 64 random bits that do not change
with batch size, packing, devices or resuming.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.typing import Array, Float, Int, Key, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
# Domains of `position_bits`: `uniform_bits` uses 0, and `corruption` uses 1 for draws of whole examples.
_NORMALS = 2


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Returns the Threefry-2x32 block of 20 rounds: two words of random bits for each pair of counters.

    The rounds are unrolled, so that XLA fuses them into one vector loop. All operators exist in NumPy and in
    JAX, so that host and device compute the same bits.

    Args:
      key: two `uint32` words, of shapes that broadcast with the shape of the counter.
      counter: two `uint32` arrays of one shape (at least one axis).

    Returns:
      Two `uint32` arrays of the counter's shape: NumPy arrays if key and counter are NumPy arrays, else JAX
      arrays.

    Example:
      >>> import numpy as np
      >>> from jaxlm.ops import threefry
      >>> zero = np.zeros(1, np.uint32)
      >>> [hex(word[0]) for word in threefry((zero, zero), (zero, zero))]
      ['0x6b200159', '0x99ba4efe']

    References:
      Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011,
      https://doi.org/10.1145/2063384.2063405 (section 3.3).
    """
    schedule = (*key, key[0] ^ key[1] ^ _PARITY)
    first, second = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            first = first + second
            second = (second << np.uint32(distance)) | (second >> np.uint32(32 - distance))
            second = first ^ second
        first = first + schedule[(group + 1) % 3]
        second = second + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return first, second


def key_words(rng: Key[Array, ""]) -> UInt32[Array, "2"]:
    """Returns a key as two `uint32` words, the form that `uniform_bits` uses; wider keys (rbg) are hashed.

    Example:
      >>> import jax
      >>> from jaxlm.ops import key_words
      >>> key_words(jax.random.key(7)).tolist()
      [0, 7]
    """
    words = jax.random.key_data(rng)
    if words.shape == (2,):
        return words
    return jnp.concatenate(threefry((words[0], words[1]), (words[2:3], words[3:4])))


def position_bits(
    words: Any, epochs: Any, example_ids: Any, offsets: Any, xp: ModuleType = jnp, domain: int = 0
) -> Any:
    """Returns the bits of `uniform_bits` for a key given as words, computed with NumPy or JAX.

    With `xp=np` it runs on the host without touching a device.

    Args:
      words: the two words of the key, from `key_words`.
      epochs: `Int[B]`, the epoch of each row.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.
      offsets: `Int[B L]`, the index of each position in its example.
      xp: the array module that computes, `numpy` or `jax.numpy`.
      domain: number of an independent stream: the same key gives independent bits in each domain.
        `uniform_bits` uses 0.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> from jaxlm.ops import key_words, position_bits
      >>> ids, words = np.array([[7, 7]], np.int32), np.asarray(key_words(jax.random.key(0)))
      >>> bits = position_bits(words, np.zeros(1, np.int32), ids, np.array([[0, 1]]), xp=np)
      >>> bits.shape, bits.dtype
      ((1, 2, 2), dtype('uint32'))
    """
    epochs, example_ids, offsets = (part.astype(np.uint32) for part in (epochs, example_ids, offsets))
    first, second = threefry((words[0], words[1]), (xp.full_like(epochs, domain), epochs))
    return xp.stack(threefry((first[:, None], second[:, None]), (example_ids, offsets)), axis=-1)


def uniform_bits(
    rng: Key[Array, ""],
    epochs: Int[Array, " B"],
    example_ids: Int[Array, "B L"],
    offsets: Int[Array, "B L"],
) -> UInt32[Array, "B L 2"]:
    """Returns 64 random bits for each position, a function of (key, epoch, example id, offset) alone.

    So a position of a text gets the same bits in any batch and packing. The key of a row is
    `fold_in(rng, epoch)`; the counter of a position is (example id, offset). Positions with equal keys and
    counters, such as padding, have equal bits.

    Args:
      rng: PRNG key; use it for no other draw.
      epochs: `Int[B]`, the epoch of each row.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.
      offsets: `Int[B L]`, the index of each position in its example.

    Returns:
      `UInt32[B L 2]`, two words of 32 bits for each position.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import uniform_bits
      >>> ids, offsets = jnp.array([[4, 4, 9]]), jnp.array([[0, 1, 0]])
      >>> packed = uniform_bits(jax.random.key(0), jnp.array([1]), ids, offsets)
      >>> alone = uniform_bits(jax.random.key(0), jnp.array([1]), ids[:, 2:], offsets[:, 2:])
      >>> bool((packed[:, 2:] == alone).all())
      True
    """
    return position_bits(key_words(rng), epochs, example_ids, offsets)


def position_normals(
    rng: Key[Array, ""],
    epochs: Int[Array, " B"],
    example_ids: Int[Array, "B L"],
    offsets: Int[Array, "B L"],
    width: int,
) -> Float[Array, "B L {width}"]:
    """Returns `width` standard normal draws for each position, by (key, epoch, example id, offset).

    The key of a position's draws is `position_bits` in a domain of its own; the Box-Muller transform makes
    two normals from the two words of each block of `threefry`.

    Args:
      rng: PRNG key; use it for no other draw.
      epochs: `Int[B]`, the epoch of each row.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.
      offsets: `Int[B L]`, the index of each position in its example.
      width: D, the number of draws for each position; static.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import position_normals
      >>> ids = jnp.zeros((2, 3), jnp.int32)
      >>> position_normals(jax.random.key(0), ids[:, 0], ids, ids, width=5).shape
      (2, 3, 5)

    References:
      Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958,
      https://doi.org/10.1214/aoms/1177706645.
    """
    keys = position_bits(key_words(rng), epochs, example_ids, offsets, domain=_NORMALS)[..., None, :]
    pairs = jnp.arange((width + 1) // 2, dtype=jnp.uint32)
    pairs = jnp.broadcast_to(pairs, (*example_ids.shape, pairs.size))
    first, second = threefry((keys[..., 0], keys[..., 1]), (jnp.zeros_like(pairs), pairs))
    # 24 bits, as many as float32 holds, plus 1: the logarithm needs a share above 0.
    share = ((first >> np.uint32(8)) + np.uint32(1)).astype(jnp.float32) * np.float32(2**-24)
    angle = (second >> np.uint32(8)).astype(jnp.float32) * np.float32(2 * np.pi * 2**-24)
    radius = jnp.sqrt(np.float32(-2) * jnp.log(share))
    normals = jnp.concatenate([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=-1)
    return normals[..., :width]


def multiply_high(words: Any, factor: Any) -> Any:
    """Returns the upper 32 bits of the 64-bit products `words * factor`, in `uint32` arithmetic.

    If the words are uniform, the result is a uniform integer in [0, factor): each integer is the result for
    2^32 / factor words, rounded down or up.

    Args:
      words: `uint32` array, NumPy's or JAX's.
      factor: an integer in [0, 2^32), or a `uint32` array of factors that broadcasts with the words.

    Example:
      >>> import numpy as np
      >>> from jaxlm.ops import multiply_high
      >>> multiply_high(np.array([0, 2**31, 2**32 - 1], np.uint32), 10).tolist()
      [0, 5, 9]
    """
    high, low = words >> np.uint32(16), words & np.uint32(0xFFFF)
    if isinstance(factor, int):
        factor_high, factor_low = np.uint32(factor >> 16), np.uint32(factor & 0xFFFF)
    else:
        factor_high, factor_low = factor >> np.uint32(16), factor & np.uint32(0xFFFF)
    middle = high * factor_low + (low * factor_low >> np.uint32(16))
    carry = low * factor_high + (middle & np.uint32(0xFFFF))
    return high * factor_high + (middle >> np.uint32(16)) + (carry >> np.uint32(16))
