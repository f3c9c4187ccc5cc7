"""Members that train in one step do what they would do alone, and compile once."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, tokenizers, training

MEMBERS, ROWS, STEPS = 3, 4, 3
CONFIG = models.TransformerConfig(
    vocab_size=260, width=16, depth=1, num_heads=2, position="rotary", attention_dropout=0.1, init_std=0.2
)
MODEL = models.build(CONFIG)
SETTINGS = training.OptimizerConfig(learning_rate=1e-2, warmup=0)
OPTIMIZER = training.make_optimizer(SETTINGS, 10)
NOISE = corruption.make_noise(corruption.NoiseConfig(rate=0.3), tokenizers.bytes_tokenizer())
RNG = jax.random.key(5)


def batch_of(seed):
    tokens = np.random.default_rng(seed).integers(97, 120, (ROWS, 8)).astype(np.int32)
    column = np.broadcast_to(np.arange(8, dtype=np.int32), tokens.shape).copy()
    examples = np.broadcast_to(np.arange(ROWS, dtype=np.int32)[:, None], tokens.shape).copy()
    return data.Batch(tokens, np.ones_like(tokens), column, examples, column, np.zeros(ROWS, np.int32))


def batches_of(step):
    return [batch_of(10 * step + member) for member in range(MEMBERS)]


def objective_of(rows):
    return training.masked_lm_objective(training.Masking(NOISE, capacity=3 * rows))


def train_step(rows=ROWS, **options):
    objective = objective_of(rows)
    return training.make_train_step(
        objective, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0, **options
    )


def assert_close(ours, theirs, atol):
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, atol=atol)


@pytest.fixture(scope="module")
def alone():
    """Parameters and losses of the members, each trained by itself."""
    step = jax.jit(train_step())
    results = []
    for member, rng in enumerate(training.member_rngs(RNG, MEMBERS)):
        state, losses = training.init_state(MODEL, OPTIMIZER, rng), []
        for number in range(STEPS):
            state, metrics = step(state, batches_of(number)[member])
            losses.append(float(metrics["loss_sum"]))
        results.append((jax.tree.map(np.asarray, state.params), losses))
    return results


def test_members_in_one_step_are_members_alone_and_compile_once(alone):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state, batch):
        return training.ensemble_step(train_step())(state, batch)

    state, losses = training.init_ensemble(MODEL, OPTIMIZER, RNG, MEMBERS), []
    for number in range(STEPS):
        state, metrics = step(state, training.stack_batches(batches_of(number)))
        losses.append(metrics["loss_sum"])
    for member, (params, expected) in enumerate(alone):
        # Products of another shape sum in another order; Adam magnifies that by a share of 1e-2 a step.
        np.testing.assert_allclose([row[member] for row in losses], expected, rtol=1e-4)
        assert_close(jax.tree.map(lambda leaf, member=member: leaf[member], state.params), params, atol=3e-4)
    assert state.step.tolist() == [STEPS] * MEMBERS
    first, second = (np.asarray(state.params["body"]["embeddings"]["token"]["embedding"][e]) for e in (0, 1))
    assert (first != second).all()


def test_devices_change_nothing(alone):
    devices = jax.local_devices()[:2]
    objective = objective_of(ROWS // 2)
    # Dropout is a device's own, so that it is off here.
    plain = models.build(models.TransformerConfig(**{**vars(CONFIG), "attention_dropout": 0.0}))
    step = training.make_train_step(objective, plain.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0)
    spread = training.parallel(training.ensemble_step(step), devices)
    state = training.replicate(training.init_ensemble(plain, OPTIMIZER, RNG, MEMBERS), devices)
    batch = training.stack_batches(batches_of(0))
    _, metrics = spread(state, training.divide_members(batch, 2))
    whole = training.ensemble_step(
        training.make_train_step(
            objective_of(ROWS), plain.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0
        )
    )
    _, expected = jax.jit(whole)(training.init_ensemble(plain, OPTIMIZER, RNG, MEMBERS), batch)
    found = training.fetch(metrics)
    assert found["weight"].tolist() == expected["weight"].tolist()
    for name in ("loss_sum", "grad_norm"):
        np.testing.assert_allclose(found[name], expected[name], rtol=3e-5)


def test_a_bad_batch_stops_its_member_only():
    objective = objective_of(ROWS)

    def spoiled(apply_fn, params, batch, rngs):
        loss_sum, weight, metrics = objective(apply_fn, params, batch, rngs)
        return loss_sum / (batch.epochs[0] != 9).astype(np.float32), weight, metrics

    step = training.make_train_step(spoiled, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10))
    state = training.init_ensemble(MODEL, OPTIMIZER, RNG, 2)
    batches = [batch_of(0), batch_of(1)._replace(epochs=np.full(ROWS, 9, np.int32))]
    after, metrics = jax.jit(training.ensemble_step(step))(state, training.stack_batches(batches))
    assert metrics["bad"].tolist() == [0, 1] and after.skipped.tolist() == [0, 1]
    moved = [
        any(
            (old[member] != new[member]).any()
            for old, new in zip(*map(jax.tree.leaves, (state.params, after.params)), strict=True)
        )
        for member in range(2)
    ]
    assert moved == [True, False]


def shared_step(accumulation=1):
    return training.make_shared_body_step(
        objective_of(ROWS // accumulation),
        MODEL.apply,
        OPTIMIZER,
        SETTINGS.schedule(10),
        accumulation=accumulation,
    )


def test_one_head_on_a_shared_body_is_a_model():
    """With one batch for all and one member, the step is the plain one."""
    state = training.init_ensemble(MODEL, OPTIMIZER, RNG, 1, shared_body=True)
    single = training.TrainState(
        *state[:3],
        {**state.params, "head": jax.tree.map(lambda leaf: leaf[0], state.params["head"])},
        None,
        state.rng,
    )
    single = single._replace(opt_state=OPTIMIZER.init(single.params))
    plain = training.make_train_step(objective_of(ROWS), MODEL.apply, OPTIMIZER, SETTINGS.schedule(10))
    expected, expected_metrics = jax.jit(plain)(single, batch_of(0))
    found, metrics = jax.jit(shared_step())(state, batch_of(0))
    np.testing.assert_allclose(metrics["loss_sum"], expected_metrics["loss_sum"], rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], expected_metrics["grad_norm"], rtol=1e-5)
    assert_close(found.params["body"], expected.params["body"], atol=1e-4)


def test_heads_on_a_shared_body_learn_from_batches_of_their_own():
    state = training.init_ensemble(MODEL, OPTIMIZER, RNG, MEMBERS, shared_body=True)
    assert state.params["head"]["decode"]["bias"].shape == (MEMBERS, 260)
    assert state.params["body"]["final_norm"]["scale"].shape == (16,)
    batch = training.stack_batches(batches_of(0))
    after, metrics = jax.jit(shared_step())(state, batch)
    np.testing.assert_allclose(metrics["loss_sum"], metrics["member_loss_sum"].sum(), rtol=1e-5)
    assert int(metrics["weight"]) == int(metrics["member_weight"].sum()) > 0
    assert len(set(metrics["member_loss_sum"].tolist())) == MEMBERS
    assert all(
        (old != new).any()
        for old, new in zip(*map(jax.tree.leaves, (state.params, after.params)), strict=True)
    )
    # A member's loss is that of its own body and head, batch and key.
    member = {**state.params, "head": jax.tree.map(lambda leaf: leaf[1], state.params["head"])}
    mask_rng = training.member_rngs(training.named_rng(RNG, "mask"), MEMBERS)[1]
    masked = training.mask_batch(
        mask_rng, jax.tree.map(jnp.asarray, batch_of(1)), training.Masking(NOISE, 12)
    )
    assert int(metrics["member_weight"][1]) == int(masked.weights.sum())
    clean = training.masked_lm_objective(training.Masking(NOISE, 12), deterministic=True)
    loss_sum, _, _ = jax.jit(partial(clean, MODEL.apply))(member, batch_of(1), {"mask": mask_rng})
    # The dropout of training is all that differs.
    np.testing.assert_allclose(metrics["member_loss_sum"][1], loss_sum, rtol=0.1)


def test_micro_batches_of_a_shared_body_change_no_sum():
    state = training.init_ensemble(MODEL, OPTIMIZER, RNG, MEMBERS, shared_body=True)
    batch = training.stack_batches(batches_of(0))
    _, whole = jax.jit(shared_step())(state, batch)
    _, parts = jax.jit(shared_step(2))(state, batch)
    assert parts["member_weight"].tolist() == whole["member_weight"].tolist()
    np.testing.assert_allclose(
        parts["loss_sum"], whole["loss_sum"], rtol=0.1
    )  # dropout is a micro-batch's own


def test_one_batch_for_all_runs_a_shared_body_once():
    state = training.init_ensemble(MODEL, OPTIMIZER, RNG, MEMBERS, shared_body=True)

    def flops(batch):
        return jax.jit(shared_step()).lower(state, batch).compile().cost_analysis()["flops"]

    assert flops(batch_of(0)) < 0.7 * flops(training.stack_batches([batch_of(0)] * MEMBERS))


def test_an_ensemble_has_a_member():
    with pytest.raises(ValueError, match="at least one member: got 0"):
        training.init_ensemble(MODEL, OPTIMIZER, RNG, 0)
