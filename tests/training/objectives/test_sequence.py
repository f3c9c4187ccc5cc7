"""Classes and values of sequences: sums worked by hand, what counts, and the noise that each example has."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, tokenizers, training
from jaxlm.devices import Layout, fetch

TOKENS = np.array([[7, 8, 9, 10, 11, 0], [12, 13, 14, 0, 0, 0]], np.int32)
SEGMENTS = np.array([[1, 1, 2, 2, 3, 0], [1, 1, 1, 0, 0, 0]], np.int32)
EXAMPLES = np.array([[2, 2, 0, 0, 3, 0], [1, 1, 1, 0, 0, 0]], np.int32)
OFFSETS = np.array([[0, 1, 0, 1, 0, 0], [0, 1, 2, 0, 0, 0]], np.int32)
BATCH = data.Batch(TOKENS, SEGMENTS, OFFSETS, EXAMPLES, OFFSETS, np.zeros(2, np.int32))
RNGS = {"mask": jax.random.key(0), "dropout": jax.random.key(1)}


def told(outputs, center=0.0, scale=1.0):
    """A model whose head gives these outputs, whatever it reads."""

    def apply_fn(variables, *arrays, method=None, **options):
        if method == "standardized_outputs":
            values = jnp.asarray(outputs, jnp.float32)[:, : options["num_segments"]]
            return models.StandardizedOutputs(values, center, scale)
        return SimpleNamespace(hidden=jnp.zeros((2, 6, 4)))

    return apply_fn


LOGITS = np.array([[[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], [[0.0, 0.5], [9.0, 9.0], [9.0, 9.0]]])
VALUES = np.array([[[1.0], [2.0], [4.0]], [[8.0], [99.0], [99.0]]])


def sums(objective, outputs, scale=1.0):
    batch = jax.tree.map(jnp.asarray, BATCH)
    loss_sum, weight, metrics = objective(told(outputs, scale=scale), {}, batch, RNGS)
    return float(loss_sum), float(weight), {name: np.asarray(value) for name, value in metrics.items()}


def test_cross_entropy_of_labelled_examples():
    labels = np.array([1.0, 0.0, 0.0, np.nan])  # by example id; the third segment is example 3
    objective = training.classification_loss(labels, num_segments=3, deterministic=True)
    loss_sum, weight, metrics = sums(objective, LOGITS)
    nats = [np.log1p(np.exp(-2)), np.log1p(np.exp(-1)), np.log1p(np.exp(0.5))]
    np.testing.assert_allclose((loss_sum, weight), (sum(nats), 3), rtol=1e-6)
    assert metrics["correct"] == 2 and metrics["tokens"] == 8 and metrics["overflow"] == 0
    assert metrics["confusion"].tolist() == [[1, 1], [0, 1]]


def test_smoothing_spreads_a_share_over_all_classes():
    labels = np.array([1, 0, 0, -1])
    objective = training.classification_loss(labels, num_segments=3, label_smoothing=0.2)
    log_probs = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    rows = log_probs[[0, 0, 1], [0, 1, 0]]
    expected = -(0.8 * rows[[0, 1, 2], [0, 1, 0]] + 0.2 * rows.mean(-1)).sum()
    np.testing.assert_allclose(sums(objective, LOGITS)[0], expected, rtol=1e-6)


def test_smoothing_by_what_each_example_was_corrupted_by():
    config = corruption.NoiseConfig(schedule="cosine")
    noise = corruption.make_noise(config, tokenizers.bytes_tokenizer())
    objective = training.classification_loss(
        np.array([1, 0, 0, 1]), num_segments=3, label_smoothing="fraction", input_noise=noise
    )
    batch = jax.tree.map(jnp.asarray, BATCH)
    fractions = np.asarray(corruption.corrupt_batch(RNGS["mask"], batch, noise).fractions)
    by_segment = [fractions[0, 0], fractions[0, 2], fractions[0, 4], fractions[1, 0]]
    assert len(set(by_segment)) == 4 and min(by_segment) > 0
    log_probs = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    rows, targets = log_probs[[0, 0, 0, 1], [0, 1, 2, 0]], [0, 1, 1, 0]
    expected = sum(
        -((1 - share) * row[target] + share * row.mean())
        for share, row, target in zip(by_segment, rows, targets, strict=True)
    )
    np.testing.assert_allclose(sums(objective, LOGITS)[0], expected, rtol=1e-5)


def test_squared_errors_of_labelled_values():
    labels = np.array([1.0, 6.0, 4.0, np.nan])
    objective = training.regression_loss(labels, num_segments=3, scale=2.0)
    loss_sum, weight, metrics = sums(objective, VALUES / 2, scale=2.0)
    errors = np.array([1 - 4, 2 - 1, 8 - 6])
    np.testing.assert_allclose((loss_sum, weight), ((errors**2).sum() / 4, 3), rtol=1e-6)
    assert metrics["squared_error"] == (errors**2).sum() and metrics["absolute_error"] == 6


def test_labels_far_from_zero_keep_their_digits():
    labels = 1.7e12 + 28_900.0 * np.array([1.0, 6.0, 4.0, np.nan])  # times in milliseconds
    objective = training.regression_loss(labels, num_segments=3, center=1.7e12, scale=28_900.0)
    batch = jax.tree.map(jnp.asarray, BATCH)
    loss_sum, _, metrics = objective(told(VALUES, 1.7e12, 28_900.0), {}, batch, RNGS)
    errors = np.array([1 - 4, 2 - 1, 8 - 6])
    np.testing.assert_allclose(loss_sum, (errors**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(metrics["absolute_error"], 6 * 28_900.0, rtol=1e-6)


def test_several_values_an_example_count_one_by_one():
    labels = np.array([[1.0, np.nan], [2.0, 3.0], [0.0, 0.0], [0.0, np.nan]])
    objective = training.regression_loss(labels, num_segments=3)
    loss_sum, weight, _ = sums(objective, np.zeros((2, 3, 2)))
    assert (loss_sum, weight) == (1 + 4 + 9, 6)


def test_segments_beyond_those_asked_for_are_counted():
    objective = training.regression_loss(np.zeros(4), num_segments=1)
    loss_sum, weight, metrics = sums(objective, VALUES)
    assert (loss_sum, weight, metrics["overflow"]) == (1 + 64, 2, 2)


@pytest.mark.parametrize("make", [training.classification_loss, training.regression_loss])
def test_nothing_labelled_is_zero_and_no_nan(make):
    objective = make(np.full(4, np.nan), num_segments=3)
    with jax.debug_nans(True):
        loss_sum, weight, _ = sums(objective, LOGITS if make is training.classification_loss else VALUES)
    assert (loss_sum, weight) == (0, 0)


def test_labels_that_cannot_be_are_refused():
    classes, values = training.classification_loss, training.regression_loss
    for make, labels, told_of in [
        (classes, np.zeros((2, 2)), r"one number an example: got labels of shape \(2, 2\)"),
        (classes, np.array([0.0, 1.5]), r"whole numbers from 0 .*: got 1.5 \(example 1\)"),
        (values, np.array([0.0, -np.inf]), r"finite \(NaN: unlabelled\): got -inf \(example 1\)"),
        (values, np.zeros((2, 2, 2)), r"\[N\] or \[N C\] values: got shape \(2, 2, 2\)"),
    ]:
        with pytest.raises(ValueError, match=told_of):
            make(labels, num_segments=1)
    split = training.Split(SimpleNamespace(labels=np.full(4, 5.0)), None)
    head = models.HeadConfig(num_outputs=2)
    setting = training.Setting(models.TransformerConfig(), None, (split,), rows=1, head=head)
    with pytest.raises(ValueError, match="numbers below the head's 2 outputs: got 5"):
        training.OBJECTIVES["classification"].bound(setting)
    with pytest.raises(ValueError, match="the head has 2 outputs: got 1 labels an example"):
        sums(values(np.zeros(4), num_segments=3), LOGITS)
    with pytest.raises(ValueError, match="give input_noise"):
        classes(np.zeros(4), num_segments=1, label_smoothing="fraction")
    with pytest.raises(ValueError, match=r"loss\.label_smoothing is .* from 0 to below 1: got 1\.0"):
        classes(np.zeros(4), num_segments=1, label_smoothing=1.0)


@pytest.fixture(scope="module")
def classifier():
    """A small model, its step on a task that a mean of embeddings can learn, and the batch."""
    config = models.TransformerConfig(vocab_size=260, width=16, depth=1, num_heads=2, position="rotary")
    model = models.build(config, "classification", models.HeadConfig(num_outputs=2, dropout=0.1))
    draw = np.random.default_rng(0)
    tokens = draw.integers(7, 12, (16, 6)).astype(np.int32)
    labels = (tokens == 9).any(1).astype(np.float32)
    column = np.broadcast_to(np.arange(6, dtype=np.int32), tokens.shape).copy()
    examples = np.broadcast_to(np.arange(16, dtype=np.int32)[:, None], tokens.shape).copy()
    batch = data.Batch(tokens, np.ones_like(tokens), column, examples, column, np.zeros(16, np.int32))
    return model, labels, batch


def test_packing_devices_and_micro_batches_change_no_sum(classifier):
    model, labels, batch = classifier
    params = jax.jit(model.init)(jax.random.key(0), batch.tokens[:1])["params"]
    objective = training.classification_loss(labels, num_segments=2, deterministic=True)
    expected = jax.jit(lambda rows: objective(model.apply, params, rows, RNGS))(batch)
    # Two examples a row, and a row of padding.
    halves = [leaf.reshape(8, -1) for leaf in batch[:5]]
    packed = data.Batch(*(np.pad(leaf, ((0, 8), (0, 3))) for leaf in halves), np.zeros(16, np.int32))
    packed.segments[:8, 6:12] = 2
    found = jax.jit(lambda rows: objective(model.apply, params, rows, RNGS))(packed)
    layout = Layout(tuple(jax.local_devices()[:4]))
    step = training.make_eval_step(objective, model.apply)
    spread = layout.parallel(step, (False, True), is_reduced=True)
    shared = fetch(spread(layout.replicate(params), layout.divide(batch)))
    for loss_sum, weight, correct in (
        (found[0], found[1], found[2]["correct"]),
        (shared["loss_sum"], shared["weight"], shared["correct"]),
    ):
        np.testing.assert_allclose(loss_sum, expected[0], rtol=1e-5)  # sums of 16 float32 terms
        assert weight == 16 and correct == expected[2]["correct"]


def test_a_classifier_learns(classifier):
    model, labels, batch = classifier
    settings = training.OptimizerConfig(learning_rate=3e-2, warmup=0)
    optimizer = training.make_optimizer(settings, 60)
    objective = training.classification_loss(labels, num_segments=1)
    step = jax.jit(training.make_train_step(objective, model.apply, optimizer, settings.schedule(60)))
    state = training.init_state(model, optimizer, jax.random.key(0))
    for _ in range(60):
        state, metrics = step(state, batch)
    assert int(metrics["correct"]) == 16 and float(metrics["loss_sum"]) / 16 < 0.2
