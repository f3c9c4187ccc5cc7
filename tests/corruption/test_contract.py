"""What every process keeps, whatever it does to tokens: one suite over the table.

A process joins by a line in `PROCESSES`: a function of (rng, batch, allowed, rate) to a `Corrupted`. Its
`tokens` may be anything that tells what the model sees at a position, as long as it is the token where the
model sees that. A process chooses units, or by a schedule that has its own rates, or is exact, as its line
says.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, PartitionSpec

from jaxlm import corruption
from jaxlm.corruption import Corrupted, NoiseConfig, keep, mixture, to_mask, to_other, to_random

NUM_SPECIALS, VOCABULARY, MASK_ID, NEXT_ID, LENGTH = 6, 50, 4, 5, 64
SENTINEL = 1000
RNG = jax.random.key(17)
IDS = np.arange(NUM_SPECIALS, VOCABULARY)
SWAPS = np.roll(np.eye(VOCABULARY), 1, axis=1)[NUM_SPECIALS:-1, NUM_SPECIALS:-1] * 0.5
SWAPS = SWAPS + (1 - SWAPS.sum(1, keepdims=True)) * np.roll(np.eye(len(SWAPS)), 2, axis=1)
LETTERS = dict(zip(corruption.BLOSUM62_ORDER, range(10, 30), strict=True))  # among ids that are no residues
BLOSUM62 = corruption.vocabulary_transitions(LETTERS, VOCABULARY)
COSINE = corruption.fraction_table(NoiseConfig(schedule="cosine"))


def placed(batch):
    names = ("example_ids", "offsets", "segments", "epochs")
    return {name: getattr(batch, name) for name in names}


def starts(batch):
    """Units end with NEXT; that a unit begins with a segment is for the process to know."""
    ends = batch.tokens == NEXT_ID
    return jnp.pad(ends[:, :-1], ((0, 0), (1, 0)))


def by(replacement, count="exact", units=False, table=None):
    def process(rng, batch, allowed, rate):
        rate = jnp.full(batch.tokens.shape, rate, jnp.float32)
        if table is not None:
            ids = dict(epochs=batch.epochs, example_ids=batch.example_ids)
            rate = corruption.draw_fractions(rng, table, **ids)
        return corruption.corrupt(
            rng,
            batch.tokens,
            allowed,
            **placed(batch),
            replacement=replacement,
            rate=rate,
            count=count,
            starts=starts(batch) if units else None,
        )

    return process


def spans(rng, batch, allowed, rate):
    hidden = corruption.corrupt_spans(
        rng,
        batch.tokens,
        allowed,
        **placed(batch),
        sentinel_ids=jnp.arange(SENTINEL, SENTINEL + LENGTH),
        rate=rate,
        target_length=2 * batch.tokens.shape[1],
    ).hidden
    seen = jnp.where(hidden, SENTINEL, batch.tokens)
    return Corrupted(seen, batch.tokens, hidden, jnp.where(batch.segments > 0, rate, 0.0))


def gaussian(rng, batch, allowed, rate):
    """Seen is the embedding, of which the token itself is the first number."""
    fractions = jnp.full(batch.tokens.shape, rate, jnp.float32)
    clean = jnp.stack([batch.tokens, batch.tokens * 0], axis=-1).astype(jnp.float32)
    noisy = corruption.corrupt_embeddings(rng, clean, allowed, **placed(batch), fractions=fractions)
    chosen = allowed & (batch.segments > 0) & (noisy.fractions > 0)
    return Corrupted(noisy.embeddings[..., 0], batch.tokens, chosen, noisy.fractions)


class Process(NamedTuple):
    """`puts`: whether what it puts in is the mask or no special. `chooses`: whether its rate is the share of
    the positions chosen. `changes`: whether it never leaves a chosen token as it is. `bounds`: how much
    less even its counts are than coins. `is_static`: whether its rate is."""

    run: Callable
    puts: bool = True
    chooses: bool = True
    changes: bool = False
    bounds: float = 1.0
    is_static: bool = False


BERT = mixture([(0.8, to_mask(MASK_ID)), (0.1, to_random(IDS)), (0.1, keep())])
PROCESSES = {
    "bert, exact": Process(by(BERT)),
    "bert, bernoulli, cosine": Process(by(BERT, "bernoulli", table=COSINE), chooses=False),
    "mask, exact, cosine": Process(by(to_mask(MASK_ID), table=COSINE), chooses=False, changes=True),
    "uniform, bernoulli": Process(by(to_other(IDS), "bernoulli"), changes=True),
    "matrix, exact": Process(by(corruption.by_matrix(SWAPS, IDS[:-1]))),
    "blosum62, exact": Process(by(corruption.by_matrix(BLOSUM62))),
    "units, exact": Process(by(to_mask(MASK_ID), units=True), changes=True, bounds=6.0),
    "units, bernoulli": Process(by(to_other(IDS), "bernoulli", units=True), changes=True, bounds=6.0),
    "units, exact, cosine": Process(by(BERT, units=True, table=COSINE), chooses=False, bounds=6.0),
    "spans": Process(spans, puts=False, changes=True, is_static=True),
    "gaussian": Process(gaussian, puts=False, chooses=False, changes=True),
}


@pytest.fixture(params=PROCESSES)
def process(request):
    return PROCESSES[request.param]


def allowed_in(batch):
    return corruption.corruptible(
        jnp.asarray(batch.tokens), jnp.asarray(batch.segments), np.arange(VOCABULARY) < NUM_SPECIALS
    )


def uncompiled(process, batch, rate, rng):
    return process.run(rng, batch, allowed_in(batch), rate)


compiled = jax.jit(uncompiled, static_argnums=0)
compiled_static = jax.jit(uncompiled, static_argnums=(0, 2))


def run(process, batch, rate=0.3, rng=RNG):
    one = compiled_static if process.is_static else compiled
    return one(process, jax.tree.map(jnp.asarray, batch), rate, rng)


def fates(batch, corrupted):
    """(example, offset) -> (seen, target, whether it counts, fraction), for every real position."""
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
    if process.changes:
        np.testing.assert_array_equal(touched, chosen)
    np.testing.assert_array_equal(corrupted.targets, alone.tokens)
    np.testing.assert_array_equal(np.where(chosen, corrupted.targets, corrupted.tokens), alone.tokens)


def test_what_is_put_in_is_the_mask_or_no_special(process, alone):
    corrupted = run(process, alone, rate=1.0)
    seen = np.asarray(corrupted.tokens)[np.asarray(corrupted.loss_mask)]
    if process.puts:
        assert set(seen.tolist()) <= {MASK_ID, *IDS.tolist()}


def test_the_same_key_and_epoch_give_the_same_and_others_do_not(process, alone):
    first = run(process, alone)
    np.testing.assert_array_equal(first.tokens, run(process, alone).tokens)
    next_epoch = alone._replace(epochs=alone.epochs + 1)
    for other in (run(process, alone, rng=jax.random.key(18)), run(process, next_epoch)):
        assert (np.asarray(first.tokens) != np.asarray(other.tokens)).any()


def test_the_rate_is_met_within_binomial_bounds(process, pack):
    generator, rate = np.random.default_rng(0), 0.3
    tokens = {id_: np.where(generator.random(60) < 0.3, NEXT_ID, 9) for id_ in range(32)}
    batch = pack(tokens, [[id_] for id_ in tokens], LENGTH)
    allowed = np.asarray(allowed_in(batch))
    drawn = [run(process, batch, rate, rng) for rng in jax.random.split(RNG, 20)]
    if process.chooses:
        assert (np.asarray(drawn[0].fractions)[batch.segments > 0] == np.float32(rate)).all()
    else:
        rate = np.mean([one.fractions[allowed] for one in drawn]) if process.puts else 1.0
    share = np.mean([one.loss_mask[allowed] for one in drawn])
    deviation = np.sqrt(rate * (1 - rate) / (20 * allowed.sum())) * process.bounds
    assert (
        abs(share - rate) <= 5 * deviation + 0.005
    )  # half a position in sixty, the rounding of an exact count


def test_rate_zero_does_nothing_and_rate_one_takes_all(process, alone):
    if process.chooses or not process.puts:
        nothing = run(process, alone, rate=0.0)
        assert not nothing.loss_mask.any()
        assert not nothing.fractions.any()
        np.testing.assert_array_equal(nothing.tokens, alone.tokens)
        np.testing.assert_array_equal(run(process, alone, rate=1.0).loss_mask, allowed_in(alone))


def test_the_fraction_is_of_the_example_and_not_of_padding(process, alone):
    fractions = np.asarray(run(process, alone).fractions)
    assert fractions.dtype == np.float32
    assert not fractions[alone.segments == 0].any()
    assert ((fractions >= 0) & (fractions <= 1)).all()
    real = np.where(alone.segments > 0, fractions, np.nan)
    if process.puts:
        assert (np.nanmax(real, axis=1) == np.nanmin(real, axis=1)).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("name", PROCESSES)
def test_an_example_fares_the_same_in_any_packing(name, seed, examples, pack, alone):
    generator = np.random.default_rng(seed)
    rows, room = [[] for _ in range(32)], np.full(32, LENGTH)
    for id_ in generator.permutation(list(examples)).tolist():
        fitting = np.flatnonzero(room >= len(examples[id_]))[: generator.integers(1, 4)]
        row = generator.choice(fitting)
        rows[row].append(id_)
        room[row] -= len(examples[id_])
    packed = pack(examples, rows, LENGTH)
    process = PROCESSES[name]
    assert fates(packed, run(process, packed)) == fates(alone, run(process, alone))


@pytest.mark.parametrize("name", ["bert, exact", "spans"])
def test_a_row_of_very_many_segments_is_no_different(name, pack):
    process = PROCESSES[name]
    short = {id_: np.array([7]) if id_ % 2 else np.array([7, 8, 9]) for id_ in range(1, 101)}
    alone, packed = pack(short, [[id_] for id_ in short], 3), pack(short, [list(short)], 220)
    assert fates(packed, run(process, packed)) == fates(alone, run(process, alone))


def test_batches_of_any_order_and_any_number_of_devices_agree(process, alone):
    whole = fates(alone, run(process, alone))
    order = np.random.default_rng(0).permutation(32)
    shuffled = jax.tree.map(lambda part: jnp.asarray(part[order]), alone)
    mesh, spec = Mesh(np.array(jax.devices()[:8]), ("data",)), PartitionSpec("data")
    one = partial(uncompiled, process, rate=0.3, rng=RNG)
    sharded = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=spec, out_specs=spec))(shuffled)
    assert fates(jax.tree.map(np.asarray, shuffled), sharded) == whole


def test_vmap_changes_nothing(process, alone):
    few = jax.tree.map(lambda part: jnp.asarray(part[:4]), alone)
    rows = jax.tree.map(lambda part: part[:, None], few)
    mapped = jax.jit(jax.vmap(lambda batch: process.run(RNG, batch, allowed_in(batch), 0.3)))(rows)
    for ours, by_vmap in zip(run(process, few), mapped, strict=True):
        np.testing.assert_array_equal(ours, by_vmap[:, 0])


def test_degenerate_rows_have_no_surprises(process, pack):
    rows = {1: [3], 2: [9], 3: [3] * 8, 4: [9] * 8, 5: [5, 5, 9, 5, 9, 9, 5, 5]}
    members = [*([id_] for id_ in rows), *[[]] * (32 - len(rows))]
    batch = pack({id_: np.array(tokens) for id_, tokens in rows.items()}, members, LENGTH)
    allowed = np.asarray(allowed_in(batch))
    for rate in (0.0, 0.3, 1.0):
        corrupted = run(process, batch, rate)
        chosen = np.asarray(corrupted.loss_mask)
        assert np.isfinite(corrupted.tokens).all()
        assert not (chosen & ~allowed).any()
        if process.chooses and rate in (0.0, 1.0):
            np.testing.assert_array_equal(chosen, allowed if rate else np.zeros_like(allowed))


class Variants(chex.TestCase):
    """Compiled, interpreted and on several devices by pmap, the results are the same."""

    @pytest.fixture(autouse=True)
    def _batch(self, alone):
        self.batch = jax.tree.map(jnp.asarray, alone)

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    @parameterized.named_parameters((name, name) for name in PROCESSES)
    def test_variants_agree(self, name):
        process = PROCESSES[name]
        one = self.variant(lambda batch: uncompiled(process, batch, 0.3, RNG))
        # To the last bit for integers; fused products of noise and weight round once less.
        chex.assert_trees_all_close(one(self.batch), run(process, self.batch), rtol=1e-6)


@pytest.mark.parametrize("name", ["bert, exact", "units, exact, cosine"])
def test_one_compilation_serves_every_batch_of_a_shape(name, alone):
    process = PROCESSES[name]
    chex.clear_trace_counter()
    traced = jax.jit(
        chex.assert_max_traces(lambda batch, rng: process.run(rng, batch, allowed_in(batch), 0.3), n=1)
    )
    for epoch in range(3):
        traced(jax.tree.map(jnp.asarray, alone._replace(epochs=alone.epochs + epoch)), jax.random.key(epoch))
