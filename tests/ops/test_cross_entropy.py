import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxlm import ops

WIDTH, VOCABULARY = 8, 23


def _arrays(rows=10):
    keys = jax.random.split(jax.random.key(0), 5)
    features = jax.random.normal(keys[0], (rows, WIDTH))
    kernel = jax.random.normal(keys[1], (VOCABULARY, WIDTH))
    bias = jax.random.normal(keys[2], (VOCABULARY,))
    targets = jax.random.randint(keys[3], (rows,), 0, VOCABULARY)
    weights = jnp.where(jnp.arange(rows) % 4 == 3, 0.0, jax.random.uniform(keys[4], (rows,), minval=0.5))
    return features, kernel, bias, targets, weights


def _oracle(features, kernel, bias, targets, weights, label_smoothing=0.0, z_loss=0.0):
    logits = features @ kernel.T + (0.0 if bias is None else bias[None, :])
    wanted = optax.losses.smooth_labels(jax.nn.one_hot(targets, VOCABULARY), label_smoothing)
    losses = optax.losses.softmax_cross_entropy(logits, wanted)
    losses = losses + z_loss * jnp.square(jax.nn.logsumexp(logits, axis=-1))
    return (weights * losses).sum()


@pytest.mark.parametrize(("label_smoothing", "z_loss"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.01), (0.2, 0.02)])
@pytest.mark.parametrize("tile", [4, 10, 64])
@pytest.mark.parametrize("has_bias", [True, False])
def test_loss_and_gradients_are_those_of_the_whole_array(tile, has_bias, label_smoothing, z_loss):
    features, kernel, bias, targets, weights = _arrays()
    bias = bias if has_bias else None
    options = {"label_smoothing": label_smoothing, "z_loss": z_loss}

    def tiled(features, kernel, bias, weights):
        return (
            3.0
            * ops.tiled_cross_entropy(features, kernel, bias, targets, weights, tile=tile, **options).loss_sum
        )

    def whole(features, kernel, bias, weights):
        return 3.0 * _oracle(features, kernel, bias, targets, weights, **options)

    numbers = (0, 1, 2, 3) if has_bias else (0, 1, 3)
    loss, gradients = jax.jit(jax.value_and_grad(tiled, numbers))(features, kernel, bias, weights)
    wanted_loss, wanted = jax.value_and_grad(whole, numbers)(features, kernel, bias, weights)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-5)
    counted = [
        jnp.where(weights != 0, gradient, 0.0) if gradient.shape == weights.shape else gradient
        for gradient in wanted
    ]
    for gradient, expected in zip(gradients, counted, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(tiled)(features, kernel, bias, weights), wanted_loss, rtol=1e-5)


@pytest.mark.parametrize("tile", [4, 64])
def test_each_row_may_have_its_own_smoothing(tile):
    features, kernel, bias, targets, weights = _arrays()
    smoothing = jnp.linspace(0.0, 1.0, 10)

    def tiled(features, kernel, bias, weights, smoothing):
        options = {"tile": tile, "label_smoothing": smoothing, "z_loss": 0.01}
        return ops.tiled_cross_entropy(features, kernel, bias, targets, weights, **options).loss_sum

    def one_by_one(features, kernel, bias, weights):
        rows = [
            _oracle(features[i : i + 1], kernel, bias, targets[i : i + 1], weights[i : i + 1], s, 0.01)
            for i, s in enumerate(smoothing.tolist())
        ]
        return sum(rows)

    numbers = (0, 1, 2, 3)
    arrays = (features, kernel, bias, weights)
    graded = jax.jit(jax.value_and_grad(tiled, numbers))
    loss, gradients = graded(*arrays, smoothing)
    wanted_loss, wanted = jax.jit(jax.value_and_grad(one_by_one, numbers))(*arrays)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(tiled)(*arrays, smoothing), wanted_loss, rtol=1e-5)
    for gradient, expected in zip(gradients, wanted, strict=True):
        expected = jnp.where(weights != 0, expected, 0.0) if expected.shape == weights.shape else expected
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
    with ops.derivatives("any"):
        assert not np.any(jax.jit(jax.grad(tiled, 4))(*arrays, smoothing))
    # Rows that do not count may have any.
    spoiled = graded(*arrays, smoothing.at[3].set(jnp.nan))
    np.testing.assert_allclose(spoiled[0], loss, rtol=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in spoiled[1])


def test_one_smoothing_for_all_rows_is_that_of_each_row():
    features, kernel, bias, targets, weights = _arrays()
    loss = jax.jit(
        lambda smoothing: (
            ops.tiled_cross_entropy(
                features, kernel, bias, targets, weights, label_smoothing=smoothing
            ).loss_sum
        )
    )
    one = ops.tiled_cross_entropy(features, kernel, bias, targets, weights, label_smoothing=0.2).loss_sum
    np.testing.assert_allclose(loss(jnp.full(10, 0.2)), one, rtol=1e-6)


def test_values_by_row():
    features, kernel, bias, targets, weights = _arrays()
    result = ops.tiled_cross_entropy(features, kernel, bias, targets, weights, tile=3)
    logits = np.asarray(features, np.float64) @ np.asarray(kernel, np.float64).T + np.asarray(bias)
    nll = np.log(np.exp(logits).sum(-1)) - logits[np.arange(10), targets]
    np.testing.assert_allclose(result.nll, np.where(weights != 0, nll, 0), rtol=1e-5)
    np.testing.assert_array_equal(result.correct, (logits.argmax(-1) == np.asarray(targets)) & (weights != 0))
    np.testing.assert_allclose(result.weight, weights.sum(), rtol=1e-6)


either = pytest.mark.parametrize("wanted", ["reverse", "any"])


@either
def test_rows_of_weight_zero_may_hold_anything(wanted):
    features, kernel, bias, targets, weights = _arrays()
    spoiled = features.at[3].set(jnp.nan).at[7].set(jnp.inf)

    def loss(features, targets):
        return ops.tiled_cross_entropy(features, kernel, bias, targets, weights, tile=4).loss_sum

    with ops.derivatives(wanted):
        gradient = jax.jit(jax.grad(loss))(spoiled, targets.at[3].set(-100))
    assert not np.any(gradient[jnp.array([3, 7])])
    np.testing.assert_allclose(gradient, jax.grad(loss)(features, targets), rtol=1e-5, atol=1e-6)


@either
@pytest.mark.parametrize("transform", [jax.jit, lambda f: jax.jit(jax.grad(f))])
def test_no_array_is_wider_than_a_tile_of_logits(transform, wanted):
    rows, tile, width, vocabulary = 64, 8, 4, 97
    arrays = (jnp.ones((rows, width)), jnp.ones((vocabulary, width)), jnp.ones(vocabulary))

    def loss(features, kernel, bias):
        targets, weights = jnp.zeros(rows, jnp.int32), jnp.ones(rows)
        return ops.tiled_cross_entropy(features, kernel, bias, targets, weights, tile=tile).loss_sum

    with ops.derivatives(wanted):
        text = transform(loss).lower(*arrays).compile().as_text()
    assert f"[{tile},{vocabulary}]" in text
    assert f"[{rows},{vocabulary}]" not in text
    assert f"{rows // tile},{tile},{vocabulary}" not in text


def test_bfloat16_features_keep_a_float32_kernel_gradient():
    features, kernel, bias, targets, weights = _arrays()

    def loss(features, kernel):
        return ops.tiled_cross_entropy(features, kernel, bias, targets, weights).loss_sum

    gradients = jax.grad(loss, (0, 1))(features.astype(jnp.bfloat16), kernel)
    assert [gradient.dtype for gradient in gradients] == [jnp.bfloat16, jnp.float32]
    wanted = jax.grad(loss, (0, 1))(features, kernel)
    for gradient, expected in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(gradient, np.float32), expected, atol=5e-2)  # 8 bits an operand


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tile": 0}, "tile"), ({"label_smoothing": 1.0}, "smoothing"), ({"z_loss": -1.0}, "z_loss")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ops.tiled_cross_entropy(*_arrays(), **options)
