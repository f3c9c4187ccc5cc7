"""Corruption as a stage of the host's input pipeline, with the draws that the device would make."""

from typing import Any

import jax
import numpy as np
from grain import transforms

from jaxlm import ops
from jaxlm.corruption._config import MaskingConfig
from jaxlm.corruption._masking import Corrupted
from jaxlm.corruption._replacement import is_below, replaced, share_bound


class CorruptBatch(transforms.Map):
    """A grain transform, batch in, (batch, `Corrupted`) out, that masks on the host what `mask_tokens`
    would on the device.

    The same key gives the same masks bit for bit, so a run may move the stage from one to the other. NumPy
    only: no device is touched after the construction, and it pickles, so grain's worker processes can run
    it.

    Args:
      rng: the run's PRNG key for masking.
      config: rate, shares and kind of count.
      mask_id: the mask's id.
      random_ids: `Int[R]`, what random ids are drawn from.
      forbidden: `Bool[V]`, True = a special: never chosen.

    Example:
      >>> import grain
      >>> from typing import NamedTuple
      >>> class Batch(NamedTuple):
      ...     tokens: np.ndarray
      ...     segments: np.ndarray
      ...     example_ids: np.ndarray
      ...     offsets: np.ndarray
      ...     epochs: np.ndarray
      >>> tokens = np.full((1, 20), 7, np.int32)
      >>> offsets = np.arange(20, dtype=np.int32)[None]
      >>> batch = Batch(tokens, tokens // 7, tokens * 0, offsets, np.zeros(1, np.int32))
      >>> ids = dict(mask_id=4, random_ids=np.arange(6, 9), forbidden=np.arange(9) < 6)
      >>> stage = CorruptBatch(jax.random.key(0), MaskingConfig(), **ids)
      >>> _, corrupted = grain.MapDataset.source([batch]).map(stage)[0]
      >>> int(corrupted.loss_mask.sum())
      3
    """

    def __init__(
        self,
        rng: jax.Array,
        config: MaskingConfig,
        *,
        mask_id: int,
        random_ids: np.ndarray,
        forbidden: np.ndarray,
    ):
        self.words = np.asarray(ops.key_words(rng))
        self.config = config
        self.mask_id = mask_id
        self.random_ids = np.asarray(random_ids)
        self.forbidden = np.asarray(forbidden, bool)

    def map(self, element: Any) -> tuple[Any, Corrupted]:
        """Returns the batch as it came, with its corruption.

        Args:
          element: a record of NumPy arrays with the fields `tokens`, `segments`, `example_ids`, `offsets`
            `Int[B L]` and `epochs` `Int[B]`.

        Example:
          See the class.
        """
        bits = ops.position_bits(self.words, element.epochs, element.example_ids, element.offsets, xp=np)
        allowed = (element.segments > 0) & ~self.forbidden[element.tokens]
        chosen = self._chosen(bits[..., 0], allowed, element)
        seen = replaced(
            bits[..., 1],
            element.tokens,
            chosen,
            config=self.config,
            mask_id=self.mask_id,
            random_ids=self.random_ids,
            xp=np,
        )
        return element, Corrupted(tokens=seen, targets=element.tokens, loss_mask=chosen)

    def _chosen(self, draws: np.ndarray, allowed: np.ndarray, element: Any) -> np.ndarray:
        if self.config.count == "bernoulli":
            return allowed & is_below(draws, share_bound(self.config.rate), xp=np)
        length = allowed.shape[1]
        rows = np.arange(allowed.shape[0])[:, None] * (length + 1)
        where = np.flatnonzero(allowed)
        slots = (rows + element.segments).reshape(-1)[where]
        order = np.lexsort((element.offsets.reshape(-1)[where], draws.reshape(-1)[where], slots))
        members = np.bincount(slots, minlength=allowed.shape[0] * (length + 1))
        ranks = np.arange(where.size) - (np.cumsum(members) - members)[slots[order]]
        chosen = np.zeros(allowed.size, bool)
        chosen[where[order]] = ranks < ops.exact_counts(members, self.config.rate)[slots[order]]
        return chosen.reshape(allowed.shape)
