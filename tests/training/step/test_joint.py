"""Tasks trained together: the weighted sum of their own means, whatever the division of their batches."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, tokenizers, training
from jaxlm.devices import Layout, fetch

NUM_EXAMPLES = 16
CONFIG = models.TransformerConfig(
    vocab_size=260, width=16, depth=1, num_heads=2, position="none", norm="rms", use_bias=False, init_std=0.2
)
HEADS = {"fill": "masked_lm", "next": "causal_lm", "label": models.HeadConfig(num_outputs=2)}
MODEL = models.build(CONFIG, "joint", HEADS)
SETTINGS = training.OptimizerConfig(learning_rate=1e-2, warmup=0)
OPTIMIZER = training.make_optimizer(SETTINGS, 10)
NOISE = corruption.make_noise(corruption.NoiseConfig(rate=0.3), tokenizers.bytes_tokenizer())
WEIGHTS = {"fill": 1.0, "next": 0.5, "label": 2.0}
START = jax.tree.map(np.asarray, training.init_state(MODEL, OPTIMIZER, jax.random.key(3))._replace(rng=0))


def batch_of(seed):
    tokens = np.random.default_rng(seed).integers(97, 120, (NUM_EXAMPLES, 8)).astype(np.int32)
    lengths = np.random.default_rng(seed + 1).integers(3, 9, NUM_EXAMPLES)
    column = np.broadcast_to(np.arange(8, dtype=np.int32), tokens.shape).copy()
    real = (column < lengths[:, None]).astype(np.int32)
    examples = np.arange(NUM_EXAMPLES, dtype=np.int32)[:, None] * real
    return data.Batch(tokens * real, real, column * real, examples, column * real, np.zeros(16, np.int32))


def objectives(rows):
    labels = np.where(np.arange(NUM_EXAMPLES) < 3, np.nan, np.arange(NUM_EXAMPLES) % 2)
    return {
        "fill": training.masked_lm_loss(training.Masking(NOISE, capacity=3 * rows)),
        "next": training.causal_lm_loss(),
        "label": training.classification_loss(labels, num_segments=1),
    }


def batches_of(seed):
    """One batch a task."""
    return {name: batch_of(seed + place) for place, name in enumerate(HEADS)}


@functools.cache
def stepped(num_devices, accumulation):
    """State and metrics of two joint steps, compiled once."""
    chex.clear_trace_counter()
    parts = objectives(NUM_EXAMPLES // num_devices // accumulation)
    tasks = {name: (parts[name], WEIGHTS[name]) for name in parts}
    step = training.make_train_step(
        tasks, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10), clip_norm=1.0, accumulation=accumulation
    )

    @chex.assert_max_traces(n=1)
    def traced(state, batch, *, axis_name):
        return step(state, batch, axis_name=axis_name)

    layout = Layout(tuple(jax.local_devices()[:num_devices]))
    spread = layout.parallel(traced, (False, True), is_reduced=True, donate=(0,))
    state, reported = layout.replicate(START._replace(rng=jax.random.key(3))), []
    for seed in range(2):
        state, metrics = spread(state, layout.divide(batches_of(seed)))
        reported.append(fetch(metrics))
    return fetch(state._replace(rng=state.step)), reported


def test_devices_and_micro_batches_change_nothing():
    (state, reported), (expected, expected_reported) = stepped(4, 2), stepped(1, 1)
    for ours, theirs in zip(reported, expected_reported, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            # Sums of float32 terms in another order; the counts are equal.
            tolerance = 0 if name.endswith(("weight", "correct", "tokens", "overflow", "bad")) else 3e-5
            np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance, err_msg=name)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True):
        # Adam magnifies the rounding of gradients near 0: to a share of the learning rate of 1e-2 a step.
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_the_loss_is_the_weighted_sum_of_each_tasks_mean():
    _, (first, _) = stepped(1, 1)
    total = sum(WEIGHTS[name] * first[f"{name}/loss_sum"] / first[f"{name}/weight"] for name in WEIGHTS)
    np.testing.assert_allclose(first["loss_sum"], total, rtol=1e-6)
    assert first["weight"] == 1 and first["label/weight"] == NUM_EXAMPLES - 3
    tokens = {name: int((batch.segments > 0).sum()) for name, batch in batches_of(0).items()}
    assert {name: int(first[f"{name}/tokens"]) for name in HEADS} == tokens
    assert first["next/weight"] == tokens["next"] - NUM_EXAMPLES
    assert first["tokens"] == sum(tokens.values())


def test_the_gradient_is_the_weighted_sum_of_each_tasks_own():
    """Against each objective alone, on the model of its one head."""
    batches = jax.tree.map(jnp.asarray, batches_of(0))
    rng = jax.random.key(3)
    names = training.named_rng
    dropout = jax.random.fold_in(jax.random.fold_in(names(rng, "dropout"), 0), 0)

    @jax.jit
    @jax.grad
    def gradient(params):
        losses = []
        for name, objective in objectives(NUM_EXAMPLES).items():
            rngs = {"mask": names(names(rng, "mask"), name), "dropout": names(dropout, name)}
            kind = HEADS[name]
            causal = models.TransformerConfig(**{**vars(CONFIG), "causal": kind == "causal_lm"})
            single = (
                models.build(causal, kind)
                if isinstance(kind, str)
                else models.build(CONFIG, "classification", kind)
            )
            own = models.head_params(params, name)
            loss_sum, weight, _ = objective(single.apply, own, batches[name], rngs)
            losses.append(WEIGHTS[name] * loss_sum / weight)
        return sum(losses[1:], losses[0])

    expected = jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(gradient(START.params))))
    _, (first, _) = stepped(1, 1)
    np.testing.assert_allclose(first["grad_norm"], expected, rtol=1e-4)


def test_every_head_and_the_body_learn():
    state, _ = stepped(1, 1)
    pairs = zip(*map(jax.tree.leaves, (START.params, state.params)), strict=True)
    assert all((old != new).any() for old, new in pairs)


def test_a_task_with_nothing_to_score_adds_nothing_to_one_batch_for_all():
    nothing = training.classification_loss(np.full(NUM_EXAMPLES, np.nan), num_segments=1)
    tasks = {"next": (training.causal_lm_loss(), 0.5), "none": training.JointTask(nothing, head="label")}
    step = training.make_train_step(tasks, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10))
    state, metrics = jax.jit(step)(START._replace(rng=jax.random.key(3)), batch_of(0))
    assert metrics["none/weight"] == 0 and metrics["bad"] == 0
    np.testing.assert_allclose(metrics["loss_sum"], 0.5 * metrics["next/loss_sum"] / metrics["next/weight"])
    before, after = (params["head_label"]["output"]["bias"] for params in (START.params, state.params))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ({}, "at least one task: got none"),
        ({"fill": (print, 0.0)}, "task 'fill' has a positive weight: got 0.0"),
        ({"a/b": (print, 1.0)}, "has no slash"),
    ],
)
def test_tasks_that_cannot_be_are_refused(tasks, told):
    with pytest.raises(ValueError, match=told):
        training.make_train_step(tasks, MODEL.apply, OPTIMIZER, SETTINGS.schedule(10))
