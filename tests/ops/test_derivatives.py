"""Every operation with a backward pass of its own has all other derivatives too, and they agree with it."""

import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlm
from jaxlm import ops

MASK = jnp.tril(jnp.ones((2, 1, 6, 6), bool)).at[:, :, 2].set(False)  # a row that attends to nothing
TARGETS = jnp.array([0, 3, 7, 2, 7])
WEIGHTS = jnp.array([1.0, 0.5, 0.25, 2.0, 1.0])


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed + sum(shape)), shape)


def heads(seed: int, num_heads: int = 4) -> jax.Array:
    return noise(2, 6, num_heads, 4, seed=seed)


def cross_entropy(**options):
    def loss(features, kernel, bias, weights):
        return ops.tiled_cross_entropy(features, kernel, bias, TARGETS, weights, tile=2, **options).loss_sum

    return loss


def attended(**options):
    return lambda query, key, value: ops.attention(query, key, value, **options)


def probs(query, key, value):
    """The probabilities of attention, as whoever changes them sees them."""
    seen = []

    def look(array):
        seen.append(array)
        return array

    ops.attention(query, key, value, change_probs=look)
    return seen[0]


HEAD = (noise(5, 3), noise(8, 3), noise(8))
ATTENDING = (heads(0), heads(1, 2), heads(2, 2))
OPERATIONS = {
    "linear": (ops.linear, (noise(2, 3), noise(4, 3), noise(4))),
    "linear without bias": (ops.linear, (noise(2, 3), noise(4, 3))),
    "layer_norm": (lambda *arrays: ops.layer_norm(*arrays, 1e-5), (noise(3, 5), noise(5), noise(5, seed=1))),
    "rms_norm": (lambda *arrays: ops.rms_norm(*arrays, 1e-5), (noise(3, 5), noise(5))),
    **{name: (getattr(ops, name), (noise(3, 5),)) for name in ("gelu", "gelu_tanh", "silu")},
    "split": (lambda inputs: ops.split(inputs**2, (2, 3), 1)[1], (noise(3, 5),)),
    "dropout": (lambda inputs: ops.dropout(jax.random.key(1), inputs**2, 0.3), (noise(3, 5),)),
    "attention": (attended(), ATTENDING),
    "masked attention": (attended(mask=MASK, softcap=2.0), ATTENDING),
    "attention with dropout": (attended(dropout_rate=0.3, dropout_rng=jax.random.key(2)), ATTENDING),
    "attention with bias": (
        lambda *arrays: ops.attention(*arrays[:3], bias=arrays[3]),
        (*ATTENDING, noise(1, 4, 6, 6)),
    ),
    "probabilities": (probs, ATTENDING),
    "cross-entropy": (cross_entropy(), (*HEAD, WEIGHTS)),
    "cross-entropy, all options": (
        cross_entropy(label_smoothing=0.1, z_loss=0.01, softcap=2.0),
        (*HEAD, WEIGHTS),
    ),
    "cross-entropy by row": (cross_entropy(label_smoothing=jnp.linspace(0.0, 1.0, 5)), (*HEAD, WEIGHTS)),
    "token_log_probs": (lambda *head: ops.token_log_probs(*head, TARGETS, tile=2), HEAD),
    "streamed_log_probs": (lambda *head: ops.streamed_log_probs(*head, TARGETS, ids=3), HEAD),
    "gather_log_probs": (lambda logits: ops.gather_log_probs(logits, TARGETS), (noise(5, 8),)),
    "column_log_probs": (lambda logits: ops.column_log_probs(logits, TARGETS), (noise(8, 5),)),
    "entropy": (lambda *head: ops.token_scores(*head, TARGETS, tile=2).entropy, HEAD),
    "top_k_log_probs": (lambda *head: ops.top_k_log_probs(*head, 2, tile=2).log_probs, HEAD),
}


def directions(arrays):
    return tuple(noise(*array.shape, seed=9) for array in arrays)


def inner(ones, others):
    return sum(np.vdot(np.float64(one), np.float64(other)) for one, other in zip(ones, others, strict=True))


def assert_close(found, wanted):
    """Float32 sums in another order."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_agree_with_the_backward_pass(name):
    operation, arrays = OPERATIONS[name]
    places, along = tuple(range(len(arrays))), directions(arrays)

    def loss(*arrays):
        outputs = operation(*arrays)
        return (outputs * noise(*outputs.shape, seed=4)).sum() + jnp.square(outputs).sum()

    free = ops.derivatives("any")(loss)
    trained = jax.jit(jax.grad(loss, places))

    @jax.jit
    def derivatives(*arrays):
        found = [jax.jvp(jax.grad(each, places), arrays, along) for each in (loss, free)]
        return *zip(*found, strict=True), jax.jvp(free, arrays, along)[1]

    (gradient, other_gradient), (product, other_product), slope = derivatives(*arrays)
    assert_close(other_gradient, gradient)
    assert_close(other_product, product)
    length = np.sqrt(inner(gradient, gradient) * inner(along, along))
    assert abs(slope - inner(gradient, along)) < 1e-5 * length
    ahead, behind = (
        trained(*(array + step * towards for array, towards in zip(arrays, along, strict=True)))
        for step in (1e-3, -1e-3)
    )
    # Rounding of a gradient, over a step of a thousandth
    for right, after, before in zip(product, ahead, behind, strict=True):
        np.testing.assert_allclose(right, (after - before) / 2e-3, rtol=0, atol=5e-3 * np.abs(right).max())


@pytest.mark.parametrize(
    "name", ["linear", "rms_norm", "masked attention", "cross-entropy", "token_log_probs"]
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_jacobians_by_columns_are_those_by_rows(name, dtype):
    operation, (inputs, *others) = OPERATIONS[name]
    inputs, others = inputs.astype(dtype), [a if a is WEIGHTS else a.astype(dtype) for a in others]
    by_rows = jax.jit(jax.jacrev(operation))(inputs, *others)
    by_columns = jax.jit(jax.jacfwd(ops.derivatives("any")(operation)))(inputs, *others)
    assert by_columns.shape == by_rows.shape
    # bfloat16 keeps 8 bits of each operand.
    share = 1e-5 if dtype == jnp.float32 else 2e-2
    by_columns, by_rows = (np.asarray(jacobian, np.float32) for jacobian in (by_columns, by_rows))
    np.testing.assert_allclose(by_columns, by_rows, rtol=0, atol=share * np.abs(by_rows).max())


def test_it_holds_where_a_function_runs_and_no_longer():
    def slope():
        return float(jax.jvp(ops.silu, (jnp.float32(0.0),), (jnp.float32(1.0),))[1])

    free = ops.derivatives("any")(slope)
    assert free() == free() == 0.5
    with ops.derivatives("any"), ops.derivatives("reverse"), pytest.raises(TypeError):
        slope()
    with pytest.raises(ZeroDivisionError), ops.derivatives("any"):
        assert slope() == 0.5
        raise ZeroDivisionError
    with pytest.raises(TypeError, match="forward-mode") as caught:
        slope()
    assert any('@jaxlm.ops.derivatives("any")' in note for note in caught.value.__notes__)
    with pytest.raises(ValueError, match="'reverse' or 'any': got 'forward'"):
        next(inspect.unwrap(ops.derivatives)("forward"))


def test_other_errors_are_left_as_they_are():
    with pytest.raises(TypeError) as caught:
        ops.silu(jnp.float32(0.0), jnp.float32(0.0))
    assert "jaxlm" not in "".join(getattr(caught.value, "__notes__", []))


def test_no_operation_has_a_backward_pass_that_the_switch_does_not_know():
    files = Path(jaxlm.__file__).parent.rglob("*.py")
    own = [file.name for file in files if re.search(r"custom_(vjp|gradient)\b", file.read_text())]
    assert own == ["_derivatives.py"]
