"""On the host, inside grain, the batches are those of the device, bit for bit."""

import pickle
from dataclasses import replace

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, ops, tokenizers
from jaxlm.corruption import NoiseConfig

RNG = jax.random.key(2**33 + 5)
MIXED = NoiseConfig(
    rate=0.4, mask_share=0.3, random_share=0.3, substitute_share=0.2, keep_share=0.2, unit="token"
)
CONFIGS = {
    **{f"exact {rate}": replace(MIXED, rate=rate) for rate in (0.0, 0.15, 1.0)},
    **{f"bernoulli {rate}": replace(MIXED, rate=rate, count="bernoulli") for rate in (0.0, 0.7, 1.0)},
    "words": replace(MIXED, unit="word"),
    "words, bernoulli": replace(MIXED, unit="word", count="bernoulli"),
    "cosine": replace(MIXED, schedule="cosine"),
    "forward, uniform, bernoulli": replace(
        MIXED, schedule="sqrt", time="forward", timesteps="uniform", count="bernoulli"
    ),
    "linear, words": replace(MIXED, schedule="linear", unit="word"),
}


def bytes_noise(config):
    return corruption.make_noise(config, tokenizers.bytes_tokenizer())


def on_device(noise):
    """A function of its own, so that nothing compiled with other draws is found."""
    device = jax.jit(lambda batch: corruption.corrupt_batch(RNG, batch, noise))
    return lambda batch: device(jax.tree.map(jnp.asarray, batch))


@pytest.fixture(scope="module")
def batches(pack):
    generator = np.random.default_rng(4)
    texts = [b"to be, or not to be: 42!", b"a", b"", b"one\xc3\xa9 two" * 3, b"x" * 30]
    examples = {
        id_: np.frombuffer(texts[id_ % 5] + generator.bytes(id_ % 4), np.uint8).astype(np.int32)
        for id_ in range(1, 28)
    }
    examples[7] = np.array([256, 97, 259, 98, 257])
    return [
        pack(examples, [range(row, row + 3) for row in range(start, start + 9, 3)], 120, epoch)
        for epoch in (0, 3)
        for start in (1, 10, 19)
    ]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_grain_dataset_gives_the_batches_of_the_device(batches, name):
    noise = bytes_noise(CONFIGS[name])
    stage = corruption.CorruptBatch(RNG, noise)
    dataset = grain.MapDataset.source(batches).shuffle(seed=1).map(stage)
    device = on_device(noise)
    for batch, corrupted in dataset:
        for ours, theirs in zip(corrupted, device(batch), strict=True):
            assert isinstance(ours, np.ndarray)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_residues_are_substituted_the_same_on_both_sides(pack):
    tokenizer = tokenizers.residue_tokenizer()
    config = replace(MIXED, substitution="blosum62", random_share=0.0, substitute_share=0.5)
    noise = corruption.make_noise(config, tokenizer)
    chain = tokenizer.encode("MKTAYIAKQRQISFVKSHFSRQ.LEERLGLIEVQXAPILSRVGDGTQDNLSGAEK")
    batch = pack(dict.fromkeys(range(8), chain), [[2 * row, 2 * row + 1] for row in range(4)], 128)
    _, corrupted = corruption.CorruptBatch(RNG, noise).map(batch)
    for ours, theirs in zip(corrupted, on_device(noise)(batch), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("unit", ["token", "word"])
def test_equal_draws_go_by_offset_on_both_sides(batches, unit, monkeypatch):
    fine = ops.threefry

    def coarse(key, counter):
        return tuple(word & np.uint32(0xE0000000) for word in fine(key, counter))

    monkeypatch.setattr("jaxlm.ops._noise.threefry", coarse)
    noise = bytes_noise(replace(MIXED, unit=unit))
    device = on_device(noise)
    for batch in batches:
        expected = device(batch)
        _, corrupted = corruption.CorruptBatch(RNG, noise).map(batch)
        np.testing.assert_array_equal(corrupted.loss_mask, expected.loss_mask)


def test_prefetching_threads_change_nothing(batches):
    dataset = grain.MapDataset.source(batches).map(corruption.CorruptBatch(RNG, bytes_noise(MIXED)))
    options = grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)
    for index, (_, corrupted) in enumerate(dataset.to_iter_dataset(options)):
        np.testing.assert_array_equal(corrupted.tokens, dataset[index][1].tokens)


@pytest.mark.parametrize("name", ["words", "cosine"])
def test_it_pickles_for_worker_processes(batches, name):
    original = corruption.CorruptBatch(RNG, bytes_noise(CONFIGS[name]))
    copy = pickle.loads(pickle.dumps(original))
    np.testing.assert_array_equal(copy.map(batches[0])[1].tokens, original.map(batches[0])[1].tokens)


def test_the_batch_itself_is_left_alone(batches):
    before = batches[0].tokens.copy()
    batch, corrupted = corruption.CorruptBatch(RNG, bytes_noise(replace(MIXED, rate=1.0))).map(batches[0])
    assert batch is batches[0]
    np.testing.assert_array_equal(batch.tokens, before)
    assert (corrupted.tokens != before).any()


@pytest.mark.parametrize("name", ["words", "cosine"])
def test_a_batch_with_nothing_to_mask_comes_through(pack, name):
    empty = pack({}, [[], []], 8)
    _, corrupted = corruption.CorruptBatch(RNG, bytes_noise(CONFIGS[name])).map(empty)
    assert not corrupted.loss_mask.any()
    assert not corrupted.fractions.any()
