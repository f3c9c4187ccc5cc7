"""The static number M of masked positions of a batch, for noise whose count is not exact."""

import math

import numpy as np

from jaxlm import ops
from jaxlm.corruption._noise import Noise
from jaxlm.corruption._shares import FULL_SHARE, as_shares

_LEVELS = 1024


def noise_capacity(
    noise: Noise,
    num_positions: int,
    *,
    row_length: int | None = None,
    lengths: np.ndarray | None = None,
    row_starts: np.ndarray | None = None,
    unit_size: float = 16.0,
) -> int:
    """Returns room for the chosen positions of a batch: the mean plus six standard deviations.

    It is rounded up to a multiple of 8. About one batch in 10^9 has more chosen positions, and no batch if
    the capacity is `num_positions`; leave the surplus clean and count it (`limit_masked`). The bound takes
    into account that an example's fraction is drawn once for all its positions, that an exact count is at
    least one, and that words and instructions are chosen as a whole. If the corpus is known, exact counts of
    tokens at a constant rate have a maximum instead: `data.masked_capacity`.

    Args:
      noise: the noise that chooses positions, from `make_noise`.
      num_positions: the number of positions of a batch, B * L.
      row_length: L, the number of positions of a row; None: the batch is one row. If `lengths` are not given,
        each row is taken to be one example.
      lengths: `Int[...]`, the lengths in tokens of the pieces of text that are packed into rows, row by row
        (`PackingPlan.length`). None: each row is taken to be one example.
      row_starts: `Int[...]`, for each row the index in `lengths` of its first piece, and at the end the
        number of pieces (`PackingPlan.row_starts`). The bound then holds for any choice of rows in one batch.
      unit_size: the typical number of tokens of a word or an instruction, if these are chosen as a whole.

    Returns:
      The capacity M, at least 1 and at most `num_positions`.

    Raises:
      ValueError: if `num_positions` is not a positive multiple of `row_length`.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption import NoiseConfig, make_noise, noise_capacity
      >>> noise = make_noise(NoiseConfig(rate=0.15, count="bernoulli"), tokenizers.bytes_tokenizer())
      >>> noise_capacity(noise, 64 * 512, row_length=512)
      5304
    """
    row_length = num_positions if row_length is None else row_length
    if num_positions < 1 or row_length < 1 or num_positions % row_length:
        raise ValueError(f"num_positions is a multiple of row_length={row_length}: got {num_positions}")
    if lengths is None or row_starts is None or len(row_starts) < 2:
        lengths, row_starts = np.array([row_length]), np.array([0, 1])
    means, variances = _moments(noise, np.asarray(lengths), 1.0 if noise.units is None else unit_size)
    rows = num_positions // row_length
    mean = _most(np.add.reduceat(means, row_starts[:-1]), rows)
    variance = _most(np.add.reduceat(variances, row_starts[:-1]), rows)
    capacity = math.ceil(mean + 6 * math.sqrt(variance) - 1e-6)
    return min(max(8, -(-capacity // 8) * 8), num_positions)


def _moments(noise: Noise, lengths: np.ndarray, unit_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the chosen positions of a piece of each length."""
    if noise.fraction_table is None:
        shares = as_shares(np.array([noise.config.required_rate()]))
    else:
        shares = noise.fraction_table.reshape(_LEVELS, -1)[:, noise.fraction_table.size // _LEVELS // 2]
    distinct, indices = np.unique(lengths, return_inverse=True)
    table = np.array([_moments_of_length(noise, int(length), shares, unit_size) for length in distinct])
    return table[indices, 0], table[indices, 1]


def _moments_of_length(
    noise: Noise, length: int, shares: np.ndarray, unit_size: float
) -> tuple[float, float]:
    units = max(1, round(length / unit_size))
    size = length / units
    fractions = shares / float(FULL_SHARE)
    if noise.config.count == "exact":
        counts = np.asarray(ops.share_counts(np.full(shares.shape, units), shares)).astype(float)
        within = np.zeros_like(counts)
    else:
        counts, within = units * fractions, units * fractions * (1 - fractions)
    spread = 0.0 if size == 1 else size**2 * counts.mean()  # units differ in size
    return float(size * counts.mean()), float(size**2 * (counts.var() + within.mean()) + spread)


def _most(sums: np.ndarray, rows: int) -> float:
    """The largest sum of `rows` rows, each taken as often as a batch may hold it."""
    repeats = -(-rows // len(sums)) + (rows % len(sums) > 0)
    return float(np.sort(np.repeat(sums, repeats))[::-1][:rows].sum())
