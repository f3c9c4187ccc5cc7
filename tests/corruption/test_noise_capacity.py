"""The room for chosen positions: thousands of drawn batches fit it, and it is no more than they need."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxlm import corruption, tokenizers
from jaxlm.corruption import NoiseConfig, make_noise, noise_capacity

BYTES = tokenizers.bytes_tokenizer()
CONFIGS = {
    "bernoulli": NoiseConfig(rate=0.15, count="bernoulli"),
    "exact, short": NoiseConfig(rate=0.15),
    "cosine": NoiseConfig(schedule="cosine"),
    "linear, bernoulli": NoiseConfig(schedule="linear", timesteps="uniform", count="bernoulli"),
    "words": NoiseConfig(rate=0.15, unit="word"),
    "words, cosine": NoiseConfig(schedule="cosine", unit="word"),
}
ROWS, LENGTH = 4, 128


def packing(generator, longest):
    """Lengths of pieces that fill rows of 128 somehow, and where the rows begin."""
    lengths, starts = [], [0]
    for _ in range(40):
        room = LENGTH
        while room > 4:
            lengths.append(int(generator.integers(1, min(room, longest) + 1)))
            room -= lengths[-1]
        starts.append(len(lengths))
    return np.array(lengths), np.array(starts)


@pytest.mark.parametrize("longest", [6, 128])
@pytest.mark.parametrize("name", CONFIGS)
def test_drawn_batches_fit_and_the_bound_is_near(name, longest, pack):
    noise = make_noise(CONFIGS[name], BYTES)
    generator = np.random.default_rng(0)
    lengths, starts = packing(generator, longest)
    options = dict(row_length=LENGTH, lengths=lengths, row_starts=starts, unit_size=5.0)
    room = noise_capacity(noise, ROWS * LENGTH, **options)
    words = [generator.choice(list(b"abc "), size=length, p=[0.3, 0.3, 0.2, 0.2]) for length in lengths]
    stage, most = corruption.CorruptBatch(jax.random.key(1), noise), 0
    rows = [range(start, stop) for start, stop in itertools.pairwise(starts)]
    for epoch in range(60):
        order = generator.permutation(len(rows))[:ROWS]
        batch = pack(dict(enumerate(words)), [rows[row] for row in order], LENGTH, epoch)
        most = max(most, int(stage.map(batch)[1].loss_mask.sum()))
    assert most <= room <= ROWS * LENGTH
    # Six deviations and the heaviest rows together are not met in sixty batches.
    assert room <= 3 * most


def test_every_position_of_a_batch_is_room_enough():
    everything = make_noise(NoiseConfig(rate=1.0, count="bernoulli"), BYTES)
    assert noise_capacity(everything, 100) == 100
    assert noise_capacity(make_noise(NoiseConfig(schedule="cosine"), BYTES), 64) == 64
    assert noise_capacity(make_noise(NoiseConfig(rate=0.0), BYTES), 64) == 8


@pytest.mark.parametrize("num_positions", [1024, 64 * 512])
@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_bernoulli_counts_have_the_room_of_their_own_bound(num_positions, rate):
    noise = make_noise(replace(CONFIGS["bernoulli"], rate=rate), BYTES)
    assert noise_capacity(noise, num_positions) == corruption.bernoulli_capacity(num_positions, rate)


def test_exact_counts_at_a_constant_rate_are_met_exactly():
    noise = make_noise(NoiseConfig(rate=0.15), BYTES)
    lengths, starts = np.array([100, 28, 64, 64, 128]), np.array([0, 2, 4, 5])
    # Rows of 15 + 4, 10 + 10 and 19: the most that two of them hold is 39, by eights 40.
    assert noise_capacity(noise, 256, row_length=128, lengths=lengths, row_starts=starts) == 40


def test_rows_divide_the_positions():
    noise = make_noise(CONFIGS["bernoulli"], BYTES)
    with pytest.raises(ValueError, match="a multiple of row_length=30: got 100"):
        noise_capacity(noise, 100, row_length=30)
