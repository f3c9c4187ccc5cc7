"""Corruption as a stage of the host's input pipeline, with the same draws as on the device."""

from typing import Any

import jax
import numpy as np
from grain import transforms

from jaxlm import ops
from jaxlm.corruption._choice import choose_units_on_host
from jaxlm.corruption._corrupt import Corrupted
from jaxlm.corruption._noise import Noise
from jaxlm.corruption._shares import as_fractions
from jaxlm.corruption._timesteps import fractions_of_words
from jaxlm.corruption._units import unit_starts


class CorruptBatch(transforms.Map):
    """A grain transform from a batch to (batch, `Corrupted`): `corrupt_batch` on the host.

    The same key gives the same batches bit for bit as on the device, so a run may move corruption from the
    device to the host. The transform uses NumPy only: it touches no device after its construction. It can be
    pickled, so that grain's worker processes can run it.

    Example:
      >>> from typing import NamedTuple
      >>> import grain
      >>> import jax
      >>> import numpy as np
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption import CorruptBatch, NoiseConfig, make_noise
      >>> class Batch(NamedTuple):
      ...     tokens: np.ndarray
      ...     segments: np.ndarray
      ...     example_ids: np.ndarray
      ...     offsets: np.ndarray
      ...     epochs: np.ndarray
      >>> tokens = np.full((1, 20), 97, np.int32)
      >>> offsets = np.arange(20, dtype=np.int32)[None]
      >>> batch = Batch(tokens, tokens // 97, tokens * 0, offsets, np.zeros(1, np.int32))
      >>> noise = make_noise(NoiseConfig(rate=0.15), tokenizers.bytes_tokenizer())
      >>> stage = CorruptBatch(jax.random.key(0), noise)
      >>> _, corrupted = grain.MapDataset.source([batch]).map(stage)[0]
      >>> int(corrupted.loss_mask.sum())
      3
    """

    def __init__(self, rng: jax.Array, noise: Noise):
        """Makes the stage.

        Args:
          rng: the run's PRNG key for its noise.
          noise: what `make_noise` returned.
        """
        self.words = np.asarray(ops.key_words(rng))
        self.noise = noise

    def map(self, element: Any) -> tuple[Any, Corrupted]:
        """Returns the unchanged batch and its corruption.

        Args:
          element: a record of NumPy arrays with the fields `tokens`, `segments`, `example_ids`, `offsets`,
            which are `Int[B L]`, and `epochs`, which is `Int[B]`.
        """
        noise, tokens, segments = self.noise, element.tokens, element.segments
        words = ops.position_bits(self.words, element.epochs, element.example_ids, element.offsets, xp=np)
        rate, fractions = self._rate(element)
        chosen = choose_units_on_host(
            words[..., 0],
            element.offsets,
            (segments > 0) & ~noise.forbidden[tokens],
            segments,
            unit_starts(tokens, noise.units),
            rate=rate,
            count=noise.config.count,
        )
        seen = np.where(chosen, noise.replacement(words[..., 1], tokens), tokens)
        fractions = np.where(segments > 0, fractions, np.float32(0))
        corrupted = Corrupted(seen, tokens, chosen, fractions)  # pyright: ignore[reportArgumentType]  # of NumPy
        return element, corrupted

    def _rate(self, element: Any) -> tuple[float | np.ndarray, np.ndarray]:
        if self.noise.fraction_table is None:
            rate = float(self.noise.config.required_rate())
            return rate, np.full(element.tokens.shape, rate, np.float32)
        table = self.noise.fraction_table
        shares = fractions_of_words(self.words, table, element.epochs, element.example_ids)
        return shares, as_fractions(shares)
