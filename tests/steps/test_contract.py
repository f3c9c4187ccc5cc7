"""What holds for every step function of the table: jit, vmap, pmap, any dimensions, gradients, float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import steps

OPTIONS = {"top_p_size": {"top_p": 0.8}}
VARIANTS = [
    *((name, OPTIONS.get(name, {})) for name in steps.STEP_FUNCTIONS),
    ("probability", {"logprob": True}),
    ("crossentropy", {"base": "bits"}),
    ("perplexity", {"convention": "inseq"}),
    ("contrast_prob", {"logprob": True}),
    ("contrast_prob_diff", {"logprob": True}),
    ("kl_divergence", {"top_k": 4, "top_p": 0.9}),
    ("mc_dropout_prob_avg", {"statistic": "z_score"}),
    ("mc_dropout_prob_avg", {"logprob": True}),
]
ALL = pytest.mark.parametrize(
    "row", [steps.step_function(name, **options) for name, options in VARIANTS], ids=lambda row: row.name
)
# A function that is constant almost everywhere has a gradient of 0, which is nothing to compare.
SMOOTH = pytest.mark.parametrize(
    "row",
    [
        row
        for row in (steps.step_function(name, **options) for name, options in VARIANTS)
        if row.is_differentiable
    ],
    ids=lambda row: row.name,
)
V, K = 11, 3


def inputs_of(*shape, seed=0, dtype=np.float32):
    generator = np.random.default_rng(seed)
    logits, contrast = (jnp.asarray(generator.normal(0, 2, (*shape, V)), dtype) for _ in range(2))
    targets, others = (jnp.asarray(generator.integers(0, V, shape), jnp.int32) for _ in range(2))
    noisy = jnp.asarray(generator.normal(0, 2, (K, *shape, V)), dtype)
    return steps.StepInputs(logits, targets, contrast, others, noisy)


@ALL
def test_jit_vmap_and_any_leading_dimensions_give_the_same(row):
    inputs = inputs_of(2, 4)
    expected = row(inputs)
    assert expected.shape == (2, 4) and expected.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(row.__call__)(inputs), expected, rtol=1e-6, atol=1e-6)
    flat = inputs_of(2, 4)._replace(noisy_logits=inputs.noisy_logits.reshape(K, 8, V))
    flat = jax.tree.map(lambda a: a.reshape(8, *a.shape[2:]) if a.shape[:2] == (2, 4) else a, flat)
    np.testing.assert_allclose(row(flat).reshape(2, 4), expected, rtol=1e-6, atol=1e-6)
    mapped = jax.vmap(row.__call__, in_axes=(steps.StepInputs(0, 0, 0, 0, 1),))(flat)
    np.testing.assert_allclose(mapped.reshape(2, 4), expected, rtol=1e-6, atol=1e-6)
    alone = jax.tree.map(lambda a: a[0], flat._replace(noisy_logits=None))
    alone = alone._replace(noisy_logits=flat.noisy_logits[:, 0])
    np.testing.assert_allclose(row(alone), expected[0, 0], rtol=1e-6, atol=1e-6)


@ALL
def test_eight_devices_give_the_same(row):
    inputs = inputs_of(8)
    mapped = jax.pmap(row.__call__, in_axes=(steps.StepInputs(0, 0, 0, 0, 1),))(inputs)
    np.testing.assert_allclose(mapped, row(inputs), rtol=1e-6, atol=1e-6)


@ALL
def test_a_row_depends_on_its_own_inputs(row):
    inputs, others = inputs_of(3), inputs_of(3, seed=1)
    mixed = jax.tree.map(
        lambda a, b: a.at[..., 1, :].set(b[..., 1, :]) if a.ndim > 1 else a.at[1].set(b[1]), inputs, others
    )
    changed = row(inputs) != row(mixed)
    assert not changed[0] and not changed[2]


@ALL
def test_bfloat16_logits_give_float32(row):
    assert row(inputs_of(3, dtype=jnp.bfloat16)).dtype == jnp.float32


@ALL
def test_nothing_is_read_that_is_not_declared(row):
    """With the fields that the table does not name left out, the function gives the same."""
    inputs = inputs_of(3)
    unread = {name: None for name in inputs._fields if name != "logits" and name not in row.needs}
    np.testing.assert_array_equal(row(inputs._replace(**unread)), row(inputs))


@ALL
def test_everything_declared_is_read(row):
    inputs = inputs_of(3)
    for name in row.needs:
        with pytest.raises(ValueError, match=f"reads {name} of its StepInputs: got None; give {name}="):
            row(inputs._replace(**{name: None}))


@SMOOTH
@pytest.mark.parametrize("field", ["logits", "contrast_logits", "noisy_logits"])
def test_gradients_are_finite_differences(row, field):
    inputs = inputs_of(2)

    def total(array):
        return row(inputs._replace(**{field: array})).sum()

    array = getattr(inputs, field)
    gradient = jax.grad(total)(array)
    assert np.isfinite(gradient).all()
    generator = np.random.default_rng(2)
    for _ in range(3):
        direction = jnp.asarray(generator.normal(size=array.shape), jnp.float32)
        # In float32 a step of 1/100 leaves an error of some 1e-4 of rounding and as much of curvature.
        step = 1e-2
        difference = (total(array + step * direction) - total(array - step * direction)) / (2 * step)
        slope = (gradient * direction).sum()
        np.testing.assert_allclose(slope, difference, rtol=5e-3, atol=5e-3 * max(1, abs(float(total(array)))))


@ALL
def test_the_docstring_says_the_unit_and_where_there_is_no_derivative(row):
    told = row.function.__doc__
    words = {"probability": " 1]", "logit": "no unit", "tokens": "how many"}
    assert words.get(row.unit, row.unit) in told
    assert ("Not differentiable" in told) == (not row.is_differentiable)
