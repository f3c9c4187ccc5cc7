"""What a chosen position becomes: the mask id, a random id, or itself, on the host as on the device."""

from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.corruption._config import MaskingConfig
from jaxlm.corruption._shares import WORDS, is_below, share_bound


def replaced(
    words: Any,
    tokens: Any,
    chosen: Any,
    *,
    config: MaskingConfig,
    mask_id: int,
    random_ids: Any,
    xp: ModuleType = jnp,
) -> Any:
    """Returns `tokens` with each chosen position turned into the mask id, a random id or itself, as its
    word says.

    The words up to `mask_share` of their range mean the mask id, the next `random_share` a random id, the
    rest the token itself. Where in the middle part a word lies is uniform in turn and picks the random id:
    two of R ids differ in probability by at most R / (random_share * 2^32), 7e-5 at R = 30,522 and a tenth.

    Args:
      words: `UInt32[B L]`, uniform, independent of `chosen`.
      tokens: `Int[B L]`.
      chosen: `Bool[B L]`, True = to be replaced.
      config: the shares.
      mask_id: the mask's id.
      random_ids: `Int[R]`, what a random id is drawn from.
      xp: `jnp`, or `np` with NumPy arrays.

    Raises:
      ValueError: if there are no random ids to draw, or more than the share's words can tell apart.

    Example:
      >>> tokens, words = np.array([[7, 7, 7]]), np.array([[0, 2**32 - 1, 0]], np.uint32)
      >>> options = dict(config=MaskingConfig(), mask_id=4, random_ids=np.array([8, 9]), xp=np)
      >>> replaced(words, tokens, np.array([[True, True, False]]), **options).tolist()
      [[4, 7, 7]]
    """
    start, stop = _random_words(config)
    num_ids, width = random_ids.shape[0], stop - start
    is_masked = is_below(words, start)
    tokens = xp.where(chosen & is_masked, xp.asarray(mask_id, tokens.dtype), tokens)
    if width == 0:
        return tokens
    if not 0 < num_ids < width:
        raise ValueError(
            f"masking.random_share={config.random_share} draws from 1 to {width - 1} random ids: "
            f"got {num_ids}; give the vocabulary without its specials, or set random_share to 0"
        )
    is_random = chosen & ~is_masked & is_below(words, stop)
    within = xp.where(is_random, words - np.uint32(start), np.uint32(0))
    drawn = random_ids[ops.multiply_high(within, num_ids * WORDS // width)]
    return xp.where(is_random, drawn.astype(tokens.dtype), tokens)


def _random_words(config: MaskingConfig) -> tuple[int, int]:
    """The words [start, stop) that mean a random id; a share of 0 gets not one word by rounding."""
    stop = WORDS - share_bound(config.keep_share)
    start = stop - share_bound(config.random_share)
    return (0 if config.mask_share == 0 else start), stop
