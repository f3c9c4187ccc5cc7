"""What every process keeps, whatever it does to tokens: one suite over the table.

A process joins by a line in `PROCESSES`: a function of (rng, batch, allowed, rate) to a `Corrupted`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, PartitionSpec

from jaxlm import corruption

NUM_SPECIALS, VOCABULARY, MASK_ID, LENGTH = 6, 50, 4, 64
RNG = jax.random.key(17)


def bert(rng, batch, allowed, rate, *, count):
    return corruption.mask_tokens(
        rng,
        batch.tokens,
        allowed,
        example_ids=batch.example_ids,
        offsets=batch.offsets,
        segments=batch.segments,
        epochs=batch.epochs,
        config=corruption.MaskingConfig(rate=rate, count=count),
        mask_id=MASK_ID,
        random_ids=jnp.arange(NUM_SPECIALS, VOCABULARY),
    )


PROCESSES = {"bert_exact": partial(bert, count="exact"), "bert_bernoulli": partial(bert, count="bernoulli")}


@pytest.fixture(params=PROCESSES)
def process(request):
    return PROCESSES[request.param]


def allowed_in(batch):
    return corruption.corruptible(
        jnp.asarray(batch.tokens), jnp.asarray(batch.segments), np.arange(VOCABULARY) < NUM_SPECIALS
    )


def run(process, batch, rate=0.3, rng=RNG):
    batch = jax.tree.map(jnp.asarray, batch)
    return process(rng, batch, allowed_in(batch), rate)


def fates(batch, corrupted):
    """(example, offset) -> (token seen, target, whether it counts), for every real position."""
    real = np.asarray(batch.segments) > 0
    columns = (batch.example_ids, batch.offsets, *corrupted)
    table = np.stack([np.asarray(column)[real] for column in columns], axis=1).tolist()
    return {(example, offset): tuple(fate) for example, offset, *fate in table}


@pytest.fixture(scope="module")
def alone(examples, pack):
    """Every example in a row of its own."""
    return pack(examples, [[id_] for id_ in examples], LENGTH)


def test_only_what_is_allowed_is_touched_and_the_targets_restore_it(process, alone):
    corrupted = run(process, alone)
    touched = np.asarray(corrupted.tokens) != alone.tokens
    chosen = np.asarray(corrupted.loss_mask)
    assert chosen.any()
    assert touched.any()
    assert not (touched & ~chosen).any()
    assert not (chosen & ~np.asarray(allowed_in(alone))).any()
    np.testing.assert_array_equal(corrupted.targets, alone.tokens)
    np.testing.assert_array_equal(np.where(chosen, corrupted.targets, corrupted.tokens), alone.tokens)


def test_what_is_put_in_is_the_mask_or_no_special(process, alone):
    corrupted = run(process, alone, rate=1.0)
    seen = np.asarray(corrupted.tokens)[np.asarray(corrupted.loss_mask)]
    assert set(seen.tolist()) <= {MASK_ID, *range(NUM_SPECIALS, VOCABULARY)}


def test_the_same_key_and_epoch_give_the_same_and_others_do_not(process, alone):
    first = run(process, alone)
    np.testing.assert_array_equal(first.tokens, run(process, alone).tokens)
    next_epoch = alone._replace(epochs=alone.epochs + 1)
    for other in (run(process, alone, rng=jax.random.key(18)), run(process, next_epoch)):
        assert (np.asarray(first.loss_mask) != np.asarray(other.loss_mask)).any()


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_the_rate_is_met_within_binomial_bounds(process, rate, pack):
    batch = pack({id_: np.full(500, 9) for id_ in range(40)}, [[id_] for id_ in range(40)], 500)
    share = float(run(process, batch, rate).loss_mask.mean())
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / batch.tokens.size)


def test_rate_zero_does_nothing_and_rate_one_takes_all(process, alone):
    nothing = run(process, alone, rate=0.0)
    assert not nothing.loss_mask.any()
    np.testing.assert_array_equal(nothing.tokens, alone.tokens)
    np.testing.assert_array_equal(run(process, alone, rate=1.0).loss_mask, allowed_in(alone))


@given(seed=st.integers(0, 2**32 - 1), length=st.sampled_from([64, 160]))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("name", PROCESSES)
def test_an_example_fares_the_same_in_any_packing(name, seed, length, examples, pack, alone):
    generator = np.random.default_rng(seed)
    rows, room = [[] for _ in range(32)], np.full(32, length)
    for id_ in generator.permutation(list(examples)).tolist():
        fitting = np.flatnonzero(room >= len(examples[id_]))[: generator.integers(1, 4)]
        row = generator.choice(fitting)
        rows[row].append(id_)
        room[row] -= len(examples[id_])
    packed = pack(examples, rows, length)
    process = PROCESSES[name]
    assert fates(packed, run(process, packed)) == fates(alone, run(process, alone))


def test_a_row_of_very_many_segments_is_no_different(process, pack):
    short = {id_: np.array([7]) if id_ % 2 else np.array([7, 8, 9]) for id_ in range(1, 101)}
    alone, packed = pack(short, [[id_] for id_ in short], 3), pack(short, [list(short)], 220)
    assert fates(packed, run(process, packed)) == fates(alone, run(process, alone))


@pytest.mark.parametrize("size", [1, 4, 16])
def test_batches_of_any_size_and_order_agree(process, size, alone):
    whole = fates(alone, run(process, alone))
    order = np.random.default_rng(size).permutation(32)
    pieces = {}
    for start in range(0, 32, size):
        batch = jax.tree.map(lambda part, start=start: part[order[start : start + size]], alone)
        pieces |= fates(batch, run(process, batch))
    assert pieces == whole


@pytest.mark.parametrize("num_devices", [2, 8])
def test_any_number_of_devices_agrees(process, num_devices, alone):
    whole = run(process, alone)
    per_device = jax.tree.map(lambda part: part.reshape(num_devices, -1, *part.shape[1:]), alone)
    mapped = jax.pmap(lambda batch: run(process, batch), devices=jax.devices()[:num_devices])(per_device)
    mesh = Mesh(np.array(jax.devices()[:num_devices]), ("data",))
    spec = PartitionSpec("data")
    sharded = jax.jit(
        jax.shard_map(lambda batch: run(process, batch), mesh=mesh, in_specs=spec, out_specs=spec)
    )(jax.tree.map(jnp.asarray, alone))
    for ours, by_pmap, by_shard_map in zip(whole, mapped, sharded, strict=True):
        np.testing.assert_array_equal(np.asarray(by_pmap).reshape(ours.shape), ours)
        np.testing.assert_array_equal(by_shard_map, ours)


def test_jit_and_vmap_change_nothing(process, alone):
    few = jax.tree.map(lambda part: jnp.asarray(part[:4]), alone)
    jitted = jax.jit(partial(run, process))(few)
    with jax.disable_jit():
        plain = run(process, few)
    rows = jax.tree.map(lambda part: part[:, None], few)
    mapped = jax.jit(jax.vmap(partial(run, process)))(rows)
    for ours, unjitted, by_vmap in zip(jitted, plain, mapped, strict=True):
        np.testing.assert_array_equal(ours, unjitted)
        np.testing.assert_array_equal(ours, by_vmap[:, 0])


@pytest.mark.parametrize("rate", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("tokens", [[3], [9], [3] * 8, [9] * 8, [0] * 8], ids=str)
def test_degenerate_rows_have_no_surprises(process, rate, tokens, pack):
    batch = pack({1: np.array(tokens)}, [[1] if any(tokens) else []], len(tokens))
    with jax.debug_nans(True):
        corrupted = run(process, batch, rate)
    num_allowed = sum(token >= NUM_SPECIALS for token in tokens)
    assert int(corrupted.loss_mask.sum()) <= num_allowed
    if rate in (0.0, 1.0):
        assert int(corrupted.loss_mask.sum()) == rate * num_allowed
