"""A sequence head: what it computes, and that neither packing nor padding can be seen in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops
from tests.models.conftest import SMALL, drawn

HEADS = {
    "mean": models.HeadConfig(num_outputs=3),
    "attention": models.HeadConfig(num_outputs=3, pooling="attention", hidden_layers=1),
    "first": models.HeadConfig(num_outputs=1, pooling="first", pooled_norm=False, center=5.0, scale=2.0),
}


def make(head, **options):
    model = models.build(models.TransformerConfig(**{**vars(SMALL), **options}), "classification", head)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
    variables = jax.tree_util.tree_map_with_path(drawn, shapes)

    def outputs(variables, tokens, segments=None, num_segments=1, **options):
        hidden = model.apply(variables, models.Inputs(tokens=tokens, segments=segments), **options).hidden
        return model.apply(
            variables, hidden, segments=segments, num_segments=num_segments, method="outputs", **options
        )

    return model, variables, jax.jit(outputs, static_argnames=("num_segments", "deterministic"))


@pytest.fixture(scope="module")
def cases():
    return {name: make(head) for name, head in HEADS.items()}


@pytest.mark.parametrize("name", HEADS)
def test_packed_and_padded_is_what_each_sequence_gives_alone(cases, name):
    _, variables, outputs = cases[name]
    first, second = [1, 2, 3], [4, 5]
    tokens = jnp.array([first + second + [9, 10, 7], second + [0] * 6])
    segments = jnp.array([[1, 1, 1, 2, 2, 0, 0, 0], [1, 1] + [0] * 6])
    packed = outputs(variables, tokens, segments, num_segments=3)
    assert packed.dtype == jnp.float32
    alone = [outputs(variables, jnp.array([row]))[0, 0] for row in (first, second)]
    # Float32 sums of 16 terms, twice.
    np.testing.assert_allclose(packed[0, :2], jnp.stack(alone), atol=2e-5)
    np.testing.assert_allclose(packed[1, 0], alone[1], atol=2e-5)
    assert not packed[0, 2:].any() and not packed[1, 1:].any()


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_pooling_norm_layers_and_a_linear_map(cases, name):
    model, variables, outputs = cases[name]
    tokens = jnp.array([[1, 2, 3, 4]])
    hidden = np.asarray(model.apply(variables, tokens).hidden)[0]
    head, params = HEADS[name], jax.tree.map(np.asarray, variables["params"]["head"])
    if name == "attention":
        scores = hidden @ params["score"]["kernel"][0]
        weights = np.exp(scores - scores.max())
        pooled = weights @ hidden / weights.sum()
    else:
        pooled = hidden[0] if name == "first" else hidden.mean(0)
    if head.pooled_norm:
        spread = np.sqrt(pooled.var() + SMALL.norm_epsilon)
        pooled = (pooled - pooled.mean()) / spread * params["norm"]["scale"] + params["norm"]["bias"]
    for layer in range(head.hidden_layers):
        layer = params[f"layer_{layer}"]
        pooled = np.asarray(ops.gelu(jnp.asarray(layer["kernel"] @ pooled + layer["bias"])))
    expected = head.center + head.scale * (params["output"]["kernel"] @ pooled + params["output"]["bias"])
    np.testing.assert_allclose(outputs(variables, tokens)[0, 0], expected, atol=2e-5)


def test_a_row_of_padding_gives_zeros_and_finite_gradients(cases):
    for _, variables, outputs in cases.values():
        segments = jnp.zeros((2, 4), jnp.int32)

        def total(variables, outputs=outputs, segments=segments):
            return outputs(variables, jnp.zeros((2, 4), jnp.int32), segments, num_segments=2).sum()

        value, gradient = jax.value_and_grad(total)(variables)
        assert float(value) == 0.0
        assert all(not leaf.any() for leaf in jax.tree.leaves(gradient))


def test_dropout_of_the_head_is_off_where_deterministic():
    model, variables, outputs = make(models.HeadConfig(num_outputs=3, hidden_layers=1, dropout=0.5))
    tokens = jnp.array([[1, 2, 3, 4]])
    hidden = model.apply(variables, tokens).hidden

    def drop(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, hidden, deterministic=False, rngs=rngs, method="outputs")

    assert (drop(0) != drop(1)).any() and (drop(0) == drop(0)).all()
    np.testing.assert_array_equal(outputs(variables, tokens), outputs(variables, tokens, deterministic=True))


def test_bfloat16_outputs_are_float32():
    head = models.HeadConfig(num_outputs=2, pooling="attention")
    _, variables, outputs = make(head, dtype="bfloat16")
    exact = make(head)[2](variables, jnp.array([[1, 2, 3]]))
    rough = outputs(variables, jnp.array([[1, 2, 3]]))
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, exact, rtol=0.1, atol=0.1)  # eight bits of mantissa, two blocks


def test_build_refuses_what_does_not_fit():
    for objective, head, told in [
        ("classification", None, "takes a HeadConfig as head: got None"),
        ("regression", models.HeadConfig(), "needs num_outputs: got None"),
        ("joint", models.HeadConfig(num_outputs=1), "takes a mapping of names to heads"),
        ("masked_lm", models.HeadConfig(num_outputs=1), "has a head of its own"),
    ]:
        with pytest.raises(ValueError, match=told):
            models.build(SMALL, objective, head)


def test_parameters_are_counted():
    head = models.HeadConfig(num_outputs=3, pooling="attention", hidden_layers=1)
    body = models.num_params(SMALL) - (16 * 16 + 16) - 2 * 16 - 11  # without the masked LM's head
    score, norm, layer, output = 16, 2 * 16, 16 * 16 + 16, 3 * 16 + 3
    assert models.num_params(SMALL, "classification", head) == body + score + norm + layer + output
