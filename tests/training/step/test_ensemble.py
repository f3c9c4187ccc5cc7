"""Members that train in one step do what they would do alone, and compile once."""

import dataclasses
import functools
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, tokenizers, training
from jaxlm.devices import Layout, fetch

MEMBERS, ROWS, STEPS, BAD_EPOCH = 3, 4, 3, 9
# Few arrays: what these tests take is the time to compile.
CONFIG = models.TransformerConfig(
    vocab_size=260, width=16, depth=1, num_heads=2, position="none", norm="rms", use_bias=False, init_std=0.2
)
MODEL = models.build(CONFIG)
SETTINGS = training.OptimizerConfig(learning_rate=1e-2, warmup=0)
OPTIMIZER = training.make_optimizer(SETTINGS, 10)
NOISE = corruption.make_noise(corruption.NoiseConfig(rate=0.3), tokenizers.bytes_tokenizer())
MASKED = training.masked_lm_loss(training.Masking(NOISE, capacity=3 * ROWS))
RNG = jax.random.key(5)


def objective(apply_fn, params, batch, rngs, step=0):
    """The masked LM's, infinite for rows of an epoch that no run comes to."""
    loss_sum, weight, metrics = MASKED(apply_fn, params, batch, rngs)
    return loss_sum / (batch.epochs[0] != BAD_EPOCH).astype(np.float32), weight, metrics


TRAIN_STEP = training.make_train_step(objective, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0)
alone = jax.jit(TRAIN_STEP)
init = functools.cache(
    lambda shared_body=False: training.init_ensemble(MODEL, OPTIMIZER, RNG, MEMBERS, shared_body=shared_body)
)


@jax.jit
@chex.assert_max_traces(n=1)
def together(state, batch):
    return training.ensemble_step(TRAIN_STEP)(state, batch)


def batch_of(seed):
    tokens = np.random.default_rng(seed).integers(97, 120, (ROWS, 8)).astype(np.int32)
    column = np.broadcast_to(np.arange(8, dtype=np.int32), tokens.shape).copy()
    examples = np.broadcast_to(np.arange(ROWS, dtype=np.int32)[:, None], tokens.shape).copy()
    return data.Batch(tokens, np.ones_like(tokens), column, examples, column, np.zeros(ROWS, np.int32))


def batches_of(step):
    return [batch_of(10 * step + member) for member in range(MEMBERS)]


def member_of(tree, number):
    return jax.tree.map(lambda leaf: leaf[number], tree)


def assert_close(ours, theirs, atol):
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, atol=atol)


def test_members_in_one_step_are_members_alone_and_compile_once():
    state, losses = init(), []
    for number in range(STEPS):
        state, metrics = together(state, training.stack_batches(batches_of(number)))
        losses.append(metrics["loss_sum"])
    assert state.step.tolist() == [STEPS] * MEMBERS
    for member in range(MEMBERS):
        own, expected = member_of(init(), member), []
        assert (own.rng == training.member_rngs(RNG, MEMBERS)[member]).all()
        for number in range(STEPS):
            own, metrics = alone(own, batches_of(number)[member])
            expected.append(metrics["loss_sum"])
        # Products of another shape sum in another order; Adam magnifies that by a share of 1e-2 a step.
        np.testing.assert_allclose([row[member] for row in losses], expected, rtol=1e-4)
        assert_close(member_of(state.params, member), own.params, atol=3e-4)


def of_kind(kind):
    """A model of another kind and the objective that trains it."""
    if kind == "causal_lm":
        return models.build(dataclasses.replace(CONFIG, causal=True), kind), training.causal_lm_loss()
    if kind == "joint":
        heads = {"fill": "masked_lm", "next": "causal_lm"}
        tasks = {"fill": (MASKED, 1.0), "next": (training.causal_lm_loss(), 0.5)}
        return models.build(CONFIG, kind, heads), tasks
    head = models.HeadConfig(num_outputs=1, pooling="attention")
    labels = np.linspace(-1, 1, ROWS)
    return models.build(CONFIG, kind, head), training.regression_loss(labels, num_segments=1)


@pytest.mark.parametrize("kind", ["causal_lm", "regression", "joint"])
def test_members_may_be_models_of_any_kind(kind):
    model, goal = of_kind(kind)
    step = training.make_train_step(goal, model.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0)
    state = training.init_ensemble(model, OPTIMIZER, RNG, MEMBERS)
    batches = batches_of(0)
    if kind == "joint":  # a batch for each task
        batches = [{"fill": one, "next": two} for one, two in zip(batches, batches_of(1), strict=True)]
    after, metrics = jax.jit(training.ensemble_step(step))(state, training.stack_batches(batches))
    one = jax.jit(step)
    for member in range(MEMBERS):
        own, expected = one(member_of(state, member), batches[member])
        np.testing.assert_allclose(metrics["loss_sum"][member], expected["loss_sum"], rtol=1e-4)
        np.testing.assert_allclose(metrics["grad_norm"][member], expected["grad_norm"], rtol=1e-4)
        # Adam's first step is the sign of a gradient but for those near 0: a share of 1e-2.
        assert_close(member_of(after.params, member), own.params, atol=3e-4)


def test_a_member_starts_as_a_model_of_its_key():
    first = training.init_state(MODEL, OPTIMIZER, training.member_rngs(RNG, 1)[0])
    assert_close(member_of(init().params, 0), first.params, atol=0)
    tables = init().params["body"]["embeddings"]["token"]["embedding"]
    assert (tables[0] != tables[1]).all()


def test_devices_change_nothing():
    layout = Layout(tuple(jax.local_devices()[:2]))
    batch = training.stack_batches(batches_of(0))
    spread = layout.parallel(training.ensemble_step(TRAIN_STEP), (False, True), is_reduced=True)
    _, metrics = spread(layout.replicate(init()), layout.divide(batch, axis=1))
    _, expected = together(init(), batch)
    found = fetch(metrics)
    assert found["weight"].tolist() == expected["weight"].tolist()
    for name in ("loss_sum", "grad_norm"):
        np.testing.assert_allclose(found[name], expected[name], rtol=3e-5)  # sums in another order


def test_a_bad_batch_stops_its_member_only():
    batches = batches_of(0)
    batches[1] = batches[1]._replace(epochs=np.full(ROWS, BAD_EPOCH, np.int32))
    after, metrics = together(init(), training.stack_batches(batches))
    assert metrics["bad"].tolist() == after.skipped.tolist() == [0, 1, 0]
    for member, moves in enumerate([True, False, True]):
        pairs = zip(
            *(jax.tree.leaves(member_of(state.params, member)) for state in (init(), after)), strict=True
        )
        assert any((old != new).any() for old, new in pairs) == moves


@functools.cache
def shared(own_batches, accumulation=1):
    """The compiled step of heads on one body."""
    step = training.make_shared_body_step(
        MASKED, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0, accumulation=accumulation
    )
    batch = training.stack_batches(batches_of(0)) if own_batches else batch_of(0)
    return jax.jit(step).lower(init(True), batch).compile()


def test_only_the_heads_are_stacked():
    params = init(True).params
    assert params["head"]["decode"]["bias"].shape == (MEMBERS, 260)
    assert params["body"]["final_norm"]["scale"].shape == (16,)
    assert (params["head"]["transform"]["kernel"][0] != params["head"]["transform"]["kernel"][1]).all()


def test_equal_heads_on_a_shared_body_are_one_model():
    """With one batch for all and heads that are the same, the body's step is that of one model."""
    state = init(True)
    single = {**state.params, "head": member_of(state.params["head"], 0)}
    equal = {
        **state.params,
        "head": jax.tree.map(lambda leaf: jnp.stack([leaf] * MEMBERS), single["head"]),
    }
    found, metrics = shared(False)(state._replace(params=equal), batch_of(0))
    expected, own = alone(state._replace(params=single, opt_state=OPTIMIZER.init(single)), batch_of(0))
    np.testing.assert_allclose(metrics["loss_sum"], MEMBERS * own["loss_sum"], rtol=1e-5)
    assert metrics["member_weight"].tolist() == [own["weight"]] * MEMBERS
    assert_close(found.params["body"], expected.params["body"], atol=3e-4)


def test_heads_on_a_shared_body_learn_from_batches_and_keys_of_their_own():
    state, batch = init(True), training.stack_batches(batches_of(0))
    after, metrics = shared(True)(state, batch)
    pairs = zip(*map(jax.tree.leaves, (state.params, after.params)), strict=True)
    assert all((old != new).any() for old, new in pairs)
    np.testing.assert_allclose(metrics["loss_sum"], metrics["member_loss_sum"].sum(), rtol=1e-5)
    assert int(metrics["weight"]) == int(metrics["member_weight"].sum())
    keys = training.member_rngs(training.named_rng(RNG, "mask"), MEMBERS)
    evaluate = jax.jit(partial(MASKED, MODEL.apply))
    for member in range(MEMBERS):
        params = {**state.params, "head": member_of(state.params["head"], member)}
        rngs = {"mask": keys[member], "dropout": RNG}
        loss_sum, weight, _ = evaluate(params, jax.tree.map(jnp.asarray, batches_of(0)[member]), rngs)
        np.testing.assert_allclose(metrics["member_loss_sum"][member], loss_sum, rtol=1e-5)
        assert metrics["member_weight"][member] == weight


def test_micro_batches_of_a_shared_body_change_no_sum():
    state, batch = init(True), training.stack_batches(batches_of(0))
    (_, whole), (_, parts) = shared(True)(state, batch), shared(True, 2)(state, batch)
    assert parts["member_weight"].tolist() == whole["member_weight"].tolist()
    for name in ("loss_sum", "grad_norm"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=3e-5)  # sums in another order


def test_one_batch_for_all_runs_a_shared_body_once():
    once, each = (shared(own_batches).cost_analysis()["flops"] for own_batches in (False, True))
    assert once < 0.8 * each


def test_an_ensemble_has_a_member():
    with pytest.raises(ValueError, match="at least one member: got 0"):
        training.init_ensemble(MODEL, OPTIMIZER, RNG, 0)
