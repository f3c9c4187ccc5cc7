"""The methods as functions of arrays on a linear model, whose attributions are known by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models
from jaxlm.attribution import METHODS, IntegratedGradients, Saliency, Sides, SmoothGrad
from jaxlm.attribution._saliency import check_norm
from jaxlm.errors import UsageError
from tests.attribution.linear_model import KERNEL, PARAMS, POSITIONS, TABLE, TOKENS, columns, margin, task

# Float32 sums of a few products of order one
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
KEYS = jax.random.split(jax.random.key(0), 2)


def run(name, **changes):
    """The arrays of a method, compiled."""
    return jax.device_get(jax.jit(METHODS[name].function)(task(**changes)))


def assert_columns(scores, expected):
    """Scores are as expected for every prediction, and 0 at what it does not see."""
    for row, number, seen, target in columns():
        column = scores[row, :, number]
        np.testing.assert_allclose(column[: len(seen)], expected(seen, target), **CLOSE)
        assert not column[len(seen) :].any()
    assert not scores[1, :, 1].any(), "an unused entry has no scores"


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("name", ["input_x_gradient", "occlusion", "leave_one_out"])
def test_a_token_of_a_linear_model_is_worth_its_own_logit(name, chunk):
    found = run(name, chunk=chunk)
    assert_columns(found.target, lambda seen, target: TABLE[seen] @ KERNEL[:, target])
    expected = TABLE[[1, 2]].sum(0) @ KERNEL[:, 3]
    np.testing.assert_allclose(found.values[0, 0], expected, **CLOSE)
    assert found.values[1, 1] == 0.0 and found.source is None


@pytest.mark.parametrize("rule", ["gauss_legendre", "left", "right", "middle", "trapezoid"])
def test_every_rule_is_exact_on_a_straight_line_and_subtracts_the_baseline(rule):
    baseline = np.full(4, 0.5, np.float32)
    settings = IntegratedGradients(steps=4, rule=rule)
    found = run("integrated_gradients", settings=settings, baseline=Sides(jnp.asarray(baseline)), chunk=16)
    assert_columns(found.target, lambda seen, target: (TABLE[seen] - baseline) @ KERNEL[:, target])
    np.testing.assert_allclose(found.target.sum(1), found.values - found.baseline_values, **CLOSE)


def test_baselines_are_ids_or_vectors():
    ids = Sides(jnp.full((2, 4), 6, jnp.int32))
    for baseline in (ids, Sides(jnp.asarray(TABLE[6])), Sides(jnp.broadcast_to(TABLE[6], (2, 4, 4)))):
        found = run("occlusion", baseline=baseline)
        assert_columns(found.target, lambda seen, target: (TABLE[seen] - TABLE[6]) @ KERNEL[:, target])


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1), ("max", np.inf), ("sum", None)])
def test_saliency_is_a_norm_of_the_gradient(norm, order):
    found = run("saliency", settings=Saliency(norm=norm))

    def expected(seen, target):
        kernel = KERNEL[:, target]
        one = kernel.sum() if order is None else np.linalg.norm(kernel, order)
        return np.full(len(seen), one)

    assert_columns(found.target, expected)


def test_granular_scores_are_those_of_the_dimensions():
    found = run("input_x_gradient", is_granular=True).target
    for row, number, seen, target in columns():
        np.testing.assert_allclose(found[row, : len(seen), number], TABLE[seen] * KERNEL[:, target], **CLOSE)
    magnitudes = run("saliency", is_granular=True).target
    np.testing.assert_allclose(magnitudes[0, 0, 0], np.abs(KERNEL[:, 3]), **CLOSE)
    path = {"settings": IntegratedGradients(steps=2), "is_granular": True}
    np.testing.assert_allclose(run("integrated_gradients", **path).target, found, **CLOSE)


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients", "occlusion"])
def test_a_span_is_the_sum_of_its_predictions(name):
    each, together = run(name), run(name, is_span=True)
    np.testing.assert_allclose(together.target, each.target.sum(-1, keepdims=True), **CLOSE)
    np.testing.assert_allclose(together.values, each.values.sum(-1, keepdims=True), **CLOSE)
    assert together.target.shape == (2, 4, 1)


def test_noise_does_not_change_a_constant_gradient():
    found = run("smooth_grad", settings=SmoothGrad(samples=3), rng=KEYS)
    np.testing.assert_allclose(found.target, run("saliency").target, **CLOSE)
    times = run("smooth_grad", settings=SmoothGrad(samples=3, times_input=True), rng=KEYS)
    np.testing.assert_allclose(times.target, run("input_x_gradient").target, **CLOSE)
    with pytest.raises(UsageError, match="smooth_grad draws noise: got rng=None"):
        attribution.smooth_grad(task())


def loss_gradient(vectors, target, scale=1.0):
    """The derivative of -log p(target) with respect to each vector of a sum, by hand."""
    logits = scale * vectors.sum(0) @ KERNEL
    probs = np.exp(logits - logits.max())
    probs /= probs.sum()
    return KERNEL @ (probs - np.eye(7)[target])


def test_the_numbers_of_allennlp():
    """Simple gradient, integrated gradient and smooth gradient of a loss, by its definitions."""
    path = attribution.ALLENNLP_INTEGRATED_GRADIENTS
    simple = run("input_x_gradient", step="crossentropy").target
    integrated = run("integrated_gradients", step="crossentropy", settings=path).target
    quiet = dataclasses.replace(attribution.ALLENNLP_SMOOTH_GRAD, noise=0.0)
    smooth = run("smooth_grad", step="crossentropy", settings=quiet, rng=KEYS).target
    for row, number, seen, target in columns():
        vectors = TABLE[seen]
        shares = np.arange(10) / 10
        mean = np.mean([loss_gradient(vectors, target, share) for share in shares], 0)
        gradient = loss_gradient(vectors, target)
        for scores, expected in (
            (simple, vectors @ gradient),
            (integrated, vectors @ mean),
            (smooth, np.full(len(seen), gradient.sum())),
        ):
            column = scores[row, : len(seen), number]
            # AllenNLP then shows |score| / sum |score|.
            np.testing.assert_allclose(
                np.abs(column) / np.abs(column).sum(), np.abs(expected) / np.abs(expected).sum(), **CLOSE
            )
            np.testing.assert_allclose(column, expected, **CLOSE)


def test_noise_belongs_to_the_text_and_its_key():
    settings = SmoothGrad(samples=2, noise=0.3)
    how = {"step": "crossentropy", "settings": settings}
    both = run("smooth_grad", rng=KEYS, **how).target
    inputs = models.Inputs(tokens=jnp.asarray(TOKENS[1:, :2]))
    asked = attribution.Predictions(jnp.array([[1]]), jnp.array([[2]]))
    alone = run("smooth_grad", rng=KEYS[1:], inputs=inputs, predictions=asked, **how).target
    np.testing.assert_allclose(alone[0, :, 0], both[1, :2, 0], **CLOSE)
    other = run("smooth_grad", rng=KEYS[:1], inputs=inputs, predictions=asked, **how).target
    assert np.abs(other - alone).max() > 1e-3


def test_a_step_function_of_ones_own():
    found = run("input_x_gradient", step=margin)
    for row, number, seen, target in columns():
        best = (TABLE[seen].sum(0) @ KERNEL).argmax()
        expected = TABLE[seen] @ (KERNEL[:, target] - KERNEL[:, best])
        np.testing.assert_allclose(found.target[row, : len(seen), number], expected, **CLOSE)


def test_counts_leave_out_what_is_not_used():
    full = run("input_x_gradient", chunk=1)
    counts = attribution.Counts(jnp.int32(1), jnp.int32(2))
    part = run("input_x_gradient", chunk=1, counts=counts)
    np.testing.assert_allclose(part.target[..., 0], full.target[..., 0], **CLOSE)
    assert not part.target[..., 1].any()


def test_scores_have_derivatives_and_map_over_parameters():
    def strength(params):
        return attribution.saliency(task(params=params, step="crossentropy")).target.sum()

    slope = jax.jit(jax.grad(strength))(PARAMS)
    value, step = jax.jit(strength), 1e-2
    direction = jax.tree.map(jnp.cos, PARAMS)
    ahead = value(jax.tree.map(lambda a, b: a + step * b, PARAMS, direction))
    behind = value(jax.tree.map(lambda a, b: a - step * b, PARAMS, direction))
    expected = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), slope, direction)))
    # A central difference is off by step^2 times a third derivative
    np.testing.assert_allclose((ahead - behind) / (2 * step), expected, rtol=1e-2)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), PARAMS)
    mapped = jax.jit(jax.vmap(lambda params: attribution.saliency(task(params=params)).target))(stacked)
    np.testing.assert_allclose(mapped[1], 2 * mapped[0], **CLOSE)


def test_compiled_is_as_written():
    eager = METHODS["saliency"].function(task())
    np.testing.assert_allclose(run("saliency").target, eager.target, **CLOSE)


def test_what_is_left_out_leaves_nothing():
    """The only token before a prediction cannot be taken out."""
    positions = jnp.asarray(np.where(POSITIONS == 1, 0, POSITIONS))
    asked = task().predictions._replace(positions=positions)
    found = run("leave_one_out", predictions=asked).target
    assert np.isnan(found[0, 0, 0]) and not np.isnan(found[0, 1:]).any()
    inputs = models.Inputs(embeddings=jnp.zeros((2, 4, 4)))
    with pytest.raises(UsageError, match="leave_one_out reads rows of tokens"):
        attribution.leave_one_out(task(inputs=inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: check_norm("l3"), "norm is one of l2, l1, max, sum: got 'l3'"),
        (lambda: Saliency(layer=-1), "a layer is the number of a block, from 0: got -1"),
        (lambda: Saliency(site=models.Site.KEYS), "a site is one of embeddings, "),
        (lambda: attribution.quadrature("simpson", 3), "rule is one of gauss_legendre, left"),
        (lambda: IntegratedGradients(rule="trapezoid", steps=1), "a whole number from 2: got 1"),
        (lambda: IntegratedGradients(tolerance=0.0), "a tolerance is a number above 0: got 0.0"),
        (lambda: IntegratedGradients(max_steps=3), "max_steps are at least the steps, 50: got 3"),
        (lambda: SmoothGrad(samples=0), "samples are a whole number from 1: got 0"),
        (lambda: SmoothGrad(noise=-1.0), "noise is a share of the range, 0 or more: got -1.0"),
        (lambda: attribution.saliency(task(settings=SmoothGrad())), "settings of this method are a Saliency"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("steps", [2, 5])
def test_rules_of_quadrature_are_exact_up_to_their_degree(steps):
    degrees = {"gauss_legendre": 2 * steps - 1, "middle": 1, "trapezoid": 1, "left": 0, "right": 0}
    for rule, degree in degrees.items():
        points, weights = attribution.quadrature(rule, steps)
        for power in range(degree + 1):
            np.testing.assert_allclose((weights * points**power).sum(), 1 / (power + 1), rtol=1e-12)
        assert len(points) == steps and (np.diff(points) > 0).all()
