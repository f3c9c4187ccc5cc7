"""A step does not depend on how its batch was divided, and a bad batch moves nothing."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, training
from jaxlm.devices import Layout, fetch

STEPS = 4


class Compiled(NamedTuple):
    """A compiled step and the state that it starts from."""

    step: Callable
    start: Callable
    layout: Layout


BAD_EPOCH = 1000


@pytest.fixture(scope="module")
def compiled(experiment, task):
    """Returns the step of a model, divided as asked, compiled once."""

    @functools.cache
    def build(num_devices=1, accumulation=1, config=task.config):
        model = models.build(config)
        # With the usual epsilon Adam makes a share of the learning rate of a small gradient's rounding.
        optimizer_config = training.OptimizerConfig(accumulation=accumulation, epsilon=1e-4)
        optimizer = training.make_optimizer(optimizer_config, STEPS)
        rows = experiment.run.batch_size // num_devices // accumulation
        split = task.splits["train"]
        masking = training.make_masking(experiment.resolved_input_noise, config, task.tokenizer, split, rows)
        objective = training.masked_lm_loss(masking, **training.position_options(config))

        def spoiled(apply_fn, params, batch, rngs, step=0):
            """The loss, infinite for rows of an epoch that no run comes to."""
            loss_sum, weight, metrics = objective(apply_fn, params, batch, rngs)
            return loss_sum / (batch.epochs[0] != BAD_EPOCH).astype(np.float32), weight, metrics

        step = training.make_train_step(
            spoiled,
            model.apply,
            optimizer,
            optimizer_config.schedule(STEPS),
            clip_norm=optimizer_config.clip_norm,
            accumulation=accumulation,
        )
        layout = Layout(tuple(jax.local_devices()[:num_devices]))
        drawn = training.init_state(model, optimizer, jax.random.key(5))
        kept = fetch(drawn._replace(rng=drawn.step))

        def start():
            # A new key each time: the step gives up what it is handed.
            return layout.replicate(kept._replace(rng=jax.random.key(5)))

        spread = layout.parallel(step, (False, True), is_reduced=True, donate=(0,))
        return Compiled(spread, start, layout)

    return build


@pytest.fixture(scope="module")
def run(compiled, batches):
    """Returns the state and the metrics after some steps, on the host."""

    def run_steps(*division, steps=STEPS, spoiled=(), **options):
        step, start, layout = compiled(*division, **options)
        state, reported = start(), []
        for number in range(steps):
            batch = batches[number]
            if number in spoiled:
                batch = batch._replace(epochs=np.full_like(batch.epochs, BAD_EPOCH))
            state, metrics = step(state, layout.divide(batch))
            reported.append(fetch(metrics))
        return fetch(state._replace(rng=state.step)), reported

    return run_steps


@pytest.fixture(scope="module")
def whole(run):
    return run()


@pytest.mark.parametrize(("num_devices", "accumulation"), [(8, 1), (2, 2)])
def test_devices_and_micro_batches_change_nothing(run, whole, num_devices, accumulation):
    (state, reported), (expected, expected_reported) = run(num_devices, accumulation), whole
    for ours, theirs in zip(reported, expected_reported, strict=True):
        for name in ("weight", "correct", "tokens", "overflow", "bad", "learning_rate"):
            assert ours[name] == theirs[name], name
        # Sums of some dozens of float32 terms in another order.
        np.testing.assert_allclose(ours["loss_sum"], theirs["loss_sum"], rtol=2e-6)
        np.testing.assert_allclose(ours["grad_norm"], theirs["grad_norm"], rtol=2e-5)
    # Four steps of 1e-3, each off by the rounding of the gradient over epsilon.
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_masks_are_the_same_bits_on_eight_devices(masking, batches):
    rng = jax.random.key(9)
    batch = batches[1]
    whole = jax.jit(lambda rows: training.mask_batch(rng, rows, masking).tokens)(batch)
    layout = Layout(tuple(jax.local_devices()[:8]))
    mapped = layout.parallel(lambda rows: training.mask_batch(rng, rows, masking).tokens, (True,))
    shards = mapped(layout.divide(batch))
    np.testing.assert_array_equal(np.asarray(shards).reshape(whole.shape), whole)


def test_parameters_move_and_stay_float32(run, whole, task):
    state, reported = whole
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(state.params))
    assert int(state.step) == STEPS and int(state.skipped) == 0
    start, _ = run(steps=0)
    assert all(
        (a != b).any() for a, b in zip(*map(jax.tree.leaves, (start.params, state.params)), strict=True)
    )
    assert reported[-1]["loss_sum"] / reported[-1]["weight"] < reported[0]["loss_sum"] / reported[0]["weight"]


def test_bfloat16_computes_what_float32_does_roughly(run, whole, task):
    state, reported = run(config=dataclasses.replace(task.config, dtype="bfloat16"))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(state.params))
    # Eight bits of mantissa: a share of 1/256 in the logits, less in their mean.
    np.testing.assert_allclose(reported[0]["loss_sum"], whole[1][0]["loss_sum"], rtol=5e-3)


def test_a_bad_batch_moves_the_data_and_nothing_else(run):
    before, _ = run(steps=1)
    after, reported = run(steps=2, spoiled=[1])
    for ours, theirs in zip(
        jax.tree.leaves((after.params, after.opt_state)),
        jax.tree.leaves((before.params, before.opt_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert (int(after.step), int(after.skipped), int(after.bad_in_row)) == (2, 1, 1)
    assert [int(line["bad"]) for line in reported] == [0, 1]
    assert reported[1]["loss_sum"] == 0 and reported[1]["weight"] == 0 and reported[1]["tokens"] > 0
    assert all(np.isfinite(value) for value in reported[1].values())

    later, reported = run(steps=3, spoiled=[1])
    assert (int(later.step), int(later.skipped), int(later.bad_in_row)) == (3, 1, 0)
    # The schedule counts updates: the third batch is the second of them.
    rate = training.OptimizerConfig().schedule(STEPS)
    np.testing.assert_allclose(reported[2]["learning_rate"], rate(jnp.int32(1)), rtol=1e-6)
    assert int(later.opt_state.count) == 2


def test_devices_exchange_sums_and_nothing_else(compiled, batches):
    """No array is gathered: what goes between eight devices is the sum of gradients and counts."""
    step, start, layout = compiled(8, 1)
    text = step.lower(start(), layout.divide(batches[0])).compile().as_text()
    assert "all-reduce" in text
    assert not any(name in text for name in ("all-gather", "all-to-all", "collective-permute"))


def test_the_states_buffers_are_reused(compiled, batches):
    """A step holds parameters and moments once: what it was given is gone, its memory in the result."""
    step, start, layout = compiled()
    # The first state was the host's memory, which no step may write to.
    state, _ = step(start(), layout.divide(batches[0]))
    leaves = jax.tree.leaves((state.params, state.opt_state))
    places = {pointer(leaf) for leaf in leaves if leaf.size > 100}
    state, _ = step(state, layout.divide(batches[1]))
    assert all(leaf.is_deleted() for leaf in leaves)
    results = jax.tree.leaves((state.params, state.opt_state))
    assert {pointer(leaf) for leaf in results if leaf.size > 100} == places


def pointer(leaf):
    return leaf.addressable_shards[0].data.unsafe_buffer_pointer()
