"""The corrupted fraction of each example: a random timestep, mapped by a schedule."""

from typing import Any

import numpy as np
from scipy import special

from jaxlm import ops
from jaxlm.corruption._noise_config import NoiseConfig
from jaxlm.corruption._schedules import schedule_fraction
from jaxlm.corruption._shares import array_module, as_shares
from jaxlm.typing import Array, Int, Key, UInt32

_QUANTILES = 1 << 16
# The domain of draws for examples, which makes them independent of the draws for positions.
_EXAMPLES = 1


def fraction_table(config: NoiseConfig) -> np.ndarray | None:
    """Returns 65,536 quantiles of the share of an example that is corrupted, in units of 2^-32.

    A uniform 16-bit number is drawn as an index into the table, so that a draw uses integers only and is the
    same on host and device.

    Args:
      config: the schedule, the direction of time and the distribution of the timesteps.

    Returns:
      `UInt32[65536]`, in the order of the times; None if the schedule is constant.

    Example:
      >>> from jaxlm.corruption import NoiseConfig, fraction_table
      >>> table = fraction_table(NoiseConfig(schedule="cosine"))
      >>> round(float(table.mean() / 2**32), 3)
      0.359
    """
    if config.schedule == "constant":
        return None
    s = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    if config.timesteps == "beta":
        s = special.betaincinv(config.beta_a, config.beta_b, s)
    return as_shares(np.asarray(schedule_fraction(config.schedule, s, time=config.time)))


def draw_fractions(
    rng: Key[Array, ""], table: np.ndarray, *, epochs: Int[Array, " B"], example_ids: Int[Array, "B L"]
) -> UInt32[Array, "B L"]:
    """Returns for each position the share of its example that is corrupted, in units of 2^-32.

    The share is a function of (rng, epoch, example id). It is independent of the draws of `corrupt` with the
    same key.

    Args:
      rng: the PRNG key that `corrupt` is given too.
      table: `UInt32[65536]`, from `fraction_table`.
      epochs: `Int[B]`, the epoch of each row.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import NoiseConfig, draw_fractions, fraction_table
      >>> table = fraction_table(NoiseConfig(schedule="linear", timesteps="uniform"))
      >>> ids = jnp.array([[3, 3, 8]])
      >>> drawn = draw_fractions(jax.random.key(0), table, epochs=jnp.array([0]), example_ids=ids)
      >>> bool(drawn[0, 0] == drawn[0, 1]), bool(drawn[0, 0] == drawn[0, 2])
      (True, False)
    """
    return fractions_of_words(ops.key_words(rng), table, epochs, example_ids)


def fractions_of_words(words: Any, table: np.ndarray, epochs: Any, example_ids: Any) -> Any:
    """Returns the same as `draw_fractions`, for the words of its key; for NumPy arrays on the host.

    Args:
      words: `UInt32[2]` of the key, `ops.key_words`.
      table: `UInt32[65536]`, of `fraction_table`.
      epochs: `Int[B]`.
      example_ids: `Int[B L]`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption._timesteps import fractions_of_words
      >>> ids = np.array([[3, 3]])
      >>> fractions_of_words(np.zeros(2, np.uint32), np.full(65536, 7, np.uint32), ids[:, 0], ids).tolist()
      [[7, 7]]
    """
    xp = array_module(example_ids)
    bits = ops.position_bits(words, epochs, example_ids, xp.zeros_like(example_ids), xp, domain=_EXAMPLES)
    return xp.asarray(table)[bits[..., 0] >> np.uint32(16)]
