"""On the host, inside grain, the masks are those of the device, bit for bit."""

import pickle

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, ops

RNG = jax.random.key(2**33 + 5)
FORBIDDEN, RANDOM_IDS, MASK_ID = np.arange(50) < 6, np.arange(6, 50), 4


def stage(config):
    return corruption.CorruptBatch(RNG, config, mask_id=MASK_ID, random_ids=RANDOM_IDS, forbidden=FORBIDDEN)


def on_device(batch, config, mask_tokens=corruption.mask_tokens):
    batch = jax.tree.map(jnp.asarray, batch)
    return mask_tokens(
        RNG,
        batch.tokens,
        corruption.corruptible(batch.tokens, batch.segments, FORBIDDEN),
        example_ids=batch.example_ids,
        offsets=batch.offsets,
        segments=batch.segments,
        epochs=batch.epochs,
        config=config,
        mask_id=MASK_ID,
        random_ids=jnp.asarray(RANDOM_IDS),
    )


@pytest.fixture(scope="module")
def batches(examples, pack):
    ids = list(examples)
    return [
        pack(examples, [ids[row : row + 3] for row in range(start, start + 9, 3)], 120, epoch)
        for epoch in (0, 3)
        for start in (0, 9, 18)
    ]


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
@pytest.mark.parametrize("rate", [0.0, 0.15, 0.7, 1.0])
def test_a_grain_dataset_gives_the_masks_of_the_device(batches, count, rate):
    config = corruption.MaskingConfig(rate=rate, count=count)
    dataset = grain.MapDataset.source(batches).shuffle(seed=1).map(stage(config))
    for batch, corrupted in dataset:
        for ours, theirs in zip(corrupted, on_device(batch, config), strict=True):
            assert isinstance(ours, np.ndarray)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_equal_draws_go_by_offset_on_both_sides(batches, monkeypatch):
    fine = ops.threefry

    def coarse(key, counter):
        return tuple(word & np.uint32(0xE0000000) for word in fine(key, counter))

    monkeypatch.setattr("jaxlm.ops._noise.threefry", coarse)
    config = corruption.MaskingConfig(rate=0.4)
    # A jit of its own: what is compiled with coarse draws must not be found by another test.
    uncached = jax.jit(corruption.mask_tokens.__wrapped__, static_argnames=("config", "mask_id"))
    for batch in batches:
        reversed_batch = batch._replace(
            **{
                name: getattr(batch, name)[:, ::-1]
                for name in ("tokens", "segments", "example_ids", "offsets")
            }
        )
        for one in (batch, reversed_batch):
            expected = on_device(one, config, uncached)
            np.testing.assert_array_equal(stage(config).map(one)[1].loss_mask, expected.loss_mask)


def test_prefetching_threads_change_nothing(batches):
    config = corruption.MaskingConfig()
    dataset = grain.MapDataset.source(batches).map(stage(config))
    options = grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)
    for index, (_, corrupted) in enumerate(dataset.to_iter_dataset(options)):
        np.testing.assert_array_equal(corrupted.tokens, dataset[index][1].tokens)


def test_it_pickles_for_worker_processes(batches):
    original = stage(corruption.MaskingConfig())
    copy = pickle.loads(pickle.dumps(original))
    np.testing.assert_array_equal(copy.map(batches[0])[1].tokens, original.map(batches[0])[1].tokens)


def test_the_batch_itself_is_left_alone(batches):
    before = batches[0].tokens.copy()
    batch, corrupted = stage(corruption.MaskingConfig(rate=1.0)).map(batches[0])
    assert batch is batches[0]
    np.testing.assert_array_equal(batch.tokens, before)
    assert (corrupted.tokens != before).any()


def test_a_batch_with_nothing_to_mask_comes_through(pack):
    empty = pack({}, [[], []], 8)
    _, corrupted = stage(corruption.MaskingConfig()).map(empty)
    assert not corrupted.loss_mask.any()
