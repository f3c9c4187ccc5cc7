"""Forward mode and Hessian-vector products of whole models: they agree with the gradients that train them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops
from tests.models.conftest import INSTRUCTION, SHARED, SMALL, drawn

DROPOUTS = dict.fromkeys(models.DROPOUTS, 0.2)
SCHEMES = {
    "alike blocks": {"position": "none", "depth": 2, "scan_layers": True, "remat": True, **DROPOUTS},
    "gemma": {"shared": "mixed", "depth": 2, **DROPOUTS},
    "t5": {"objective": "seq2seq_lm", "position": "relative", "norm": "rms", "num_kv_heads": 2},
    "classifier": {"objective": "classification", "pooling": "attention", "hidden_layers": 1},
}
# Other combinations of the same operations.
FURTHER = {
    "bert": {"norm_placement": "post", "embedding_norm": True, "token_types": 2},
    "llama": {"causal": True, "position": "rotary", "norm": "rms", "activation": "swiglu", "num_kv_heads": 2},
    "esm": {"position": "rotary", "token_dropout": True, "mask_id": 5, "activation": "gelu_tanh"},
    "relative window": {"position": models.Relative(buckets=8, distance=6), "window": 3},
    "undertale": {"position": INSTRUCTION, "embedding_norm": True, "final_norm": False, **DROPOUTS},
    "sinusoidal": {"position": "sinusoidal", "activation": "silu", "head": "linear", "tie_embeddings": False},
    "parallel": {"shared": "parallel"},
    "gpt": {"causal": True, "activation": "gelu_tanh", "attention_softcap": 2.0, "logit_softcap": 3.0},
    "recomputed": {"causal": True, "activation": "geglu", "remat": True},
    "bart": {"objective": "seq2seq_lm", "norm_placement": "post", **DROPOUTS},
    "regression": {"objective": "regression", "pooling": "first", "pooled_norm": False},
}
ALL = [*SCHEMES, *(pytest.param(name, marks=pytest.mark.long) for name in FURTHER)]
HEAD_FIELDS = [field.name for field in dataclasses.fields(models.HeadConfig)]
TOKENS = jnp.array([[1, 2, 5, 3, 4, 0], [4, 5, 6, 7, 8, 9]])
SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
TARGETS = jnp.array([2, 5, 3, 4, 0, 1, 5, 6, 7, 8, 9, 10])
WEIGHTS = jnp.array([1.0, 0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.25, 1.0, 1.0, 0.0])
STEP = 1e-2


class Case(NamedTuple):
    """A model's parameters, two directions in their space, its loss, and that with its gradient, jitted."""

    model: Any
    params: Any
    directions: Any  # both, on a leading axis
    loss: Callable[[Any], jax.Array]
    graded: Callable[[Any], tuple[jax.Array, Any]]


@functools.cache
def made(scheme: str, **options: Any) -> Case:
    fields = {"depth": 1, **(SCHEMES | FURTHER)[scheme], **options}
    objective = fields.pop("objective", None)
    fields = {**SHARED.get(fields.pop("shared", None), {}), **fields}
    head = {name: fields.pop(name) for name in HEAD_FIELDS if name in fields}
    if objective == "seq2seq_lm":
        fields["decoder"] = models.DecoderConfig()
    config = dataclasses.replace(SMALL, width=8, mlp_width=16, **fields)
    objective = objective or ("causal_lm" if config.causal else "masked_lm")
    model = models.build(config, objective, models.HeadConfig(num_outputs=2, **head) if head else None)
    shapes = jax.eval_shape(model.init, jax.random.key(0), TOKENS)["params"]
    params = jax.tree_util.tree_map_with_path(drawn, shapes)
    loss = functools.partial(sequence_loss if head else language_loss, model)
    return Case(model, params, two_directions(params), loss, jax.jit(jax.value_and_grad(loss)))


def two_directions(params: Any) -> Any:
    """Two random directions, each about as long as 1."""
    leaves, tree = jax.tree.flatten(params)
    size, generator = sum(leaf.size for leaf in leaves), np.random.default_rng(7)
    noise = [generator.normal(size=(2, *leaf.shape)) * size**-0.5 for leaf in leaves]
    return tree.unflatten([jnp.asarray(leaf, jnp.float32) for leaf in noise])


def stream(model: Any, params: Any) -> jax.Array:
    inputs = models.Inputs(tokens=TOKENS, segments=SEGMENTS)
    if isinstance(model, models.Seq2SeqLM):
        inputs = inputs._replace(tokens=TOKENS[:, ::-1], encoder=inputs)
    how = {"deterministic": False, "rngs": {"dropout": jax.random.key(3)}}
    return model.apply({"params": params}, inputs, **how).hidden


def language_loss(model: Any, params: Any) -> jax.Array:
    """The loss as training takes it, tile by tile over the positions."""
    hidden = stream(model, params).reshape(TARGETS.size, -1)
    features = model.apply({"params": params}, hidden, method="features")
    kernel, bias = model.apply({"params": params}, method="output_weights")
    softcap = model.apply({"params": params}, method="output_softcap")
    options = {"tile": 5, "label_smoothing": 0.1, "z_loss": 0.01, "softcap": softcap}
    result = ops.tiled_cross_entropy(features, kernel, bias, TARGETS, WEIGHTS, **options)
    return result.loss_sum / result.weight


def sequence_loss(model: Any, params: Any) -> jax.Array:
    options = {"segments": SEGMENTS, "num_segments": 2, "method": "outputs"}
    return jnp.square(model.apply({"params": params}, stream(model, params), **options)).mean()


def part(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], tree)


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def length(tree: Any) -> float:
    return np.linalg.norm(flat(tree))


def moved(case: Case, step: float) -> Any:
    return jax.tree.map(lambda param, towards: param + step * towards, case.params, part(case.directions, 0))


def assert_close(found: Any, wanted: Any, share: float) -> None:
    """Nowhere further apart than a share of the largest number."""
    assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(lambda leaf: leaf.dtype, wanted)
    found, wanted = flat(found), flat(wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=share * np.abs(wanted).max())


@pytest.mark.parametrize("scheme", ALL)
def test_gradients_jvps_and_hessian_vector_products(scheme):
    case = made(scheme)
    free = ops.derivatives("any")(case.loss)

    @jax.jit
    def derivatives(params, directions):
        def both(towards):
            (_, gradient), (_, product) = jax.jvp(jax.value_and_grad(free), (params,), (towards,))
            return gradient, product

        gradient, products = jax.vmap(both, out_axes=(None, 0))(directions)
        return gradient, products, jax.jvp(free, (params,), (part(directions, 0),))

    gradient, products, (value, slope) = derivatives(case.params, case.directions)
    trained_value, trained = case.graded(case.params)
    u, v, of_u, of_v = (part(tree, number) for tree in (case.directions, products) for number in (0, 1))
    # Float32 sums in another order.
    np.testing.assert_allclose(value, trained_value, rtol=1e-6)
    assert_close(gradient, trained, 1e-5)
    assert abs(slope - flat(trained) @ flat(u)) < 1e-5 * length(trained) * length(u)
    assert abs(flat(v) @ flat(of_u) - flat(u) @ flat(of_v)) < 1e-5 * length(of_u) * length(v)
    # What a step leaves out of the third derivative, and rounding divided by it.
    (ahead, after), (behind, before) = (case.graded(moved(case, step)) for step in (STEP, -STEP))
    assert abs(slope - (ahead - behind) / (2 * STEP)) < 2e-3 * length(trained) * length(u)
    second = (flat(after) - flat(before)) / (2 * STEP)
    assert np.linalg.norm(second - flat(of_u)) < 2e-3 * length(of_u)


def test_one_jitted_function_serves_both():
    case = made("alike blocks")
    product = jax.jit(lambda params, towards: jax.jvp(jax.grad(case.loss), (params,), (towards,))[1])
    slope = jax.jit(lambda params, towards: jax.jvp(case.loss, (params,), (towards,))[1])
    arguments = case.params, part(case.directions, 0)
    trained = product(*arguments)
    with pytest.raises(TypeError, match="forward-mode"):
        slope(*arguments)
    with ops.derivatives("any"):
        assert_close(product(*arguments), trained, 1e-5)
        assert np.isfinite(slope(*arguments))
    with pytest.raises(TypeError, match="forward-mode"):
        slope(*arguments)


@pytest.mark.parametrize("scheme", ["llama", "t5"])
def test_jacobians_by_columns_are_those_by_rows(scheme):
    """Of the logits at one position by the vectors of all tokens, as an explanation takes them."""
    case = made(scheme)
    vectors = case.model.apply({"params": case.params}, TOKENS[1:], method="token_vectors")

    def logits(vectors):
        inputs = models.Inputs(embeddings=vectors)
        if scheme == "t5":
            inputs = models.Inputs(tokens=TOKENS[:1], encoder=inputs)
        hidden = case.model.apply({"params": case.params}, inputs).hidden
        return case.model.apply({"params": case.params}, hidden[0, 3], method="logits")

    by_columns = jax.jit(jax.jacfwd(ops.derivatives("any")(logits)))(vectors)
    by_rows = jax.jit(jax.jacrev(logits))(vectors)
    assert by_rows.shape == (11, 1, 6, 8)
    assert_close(by_columns, by_rows, 1e-5)


def test_bfloat16_has_them_as_exactly_as_training_has():
    rounded, exact = made("llama", dtype="bfloat16"), made("llama")
    u = part(exact.directions, 0)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def graded(loss, wanted, params):
        with ops.derivatives(wanted):
            return jax.jvp(jax.grad(loss), (params,), (u,))

    trained, free = (graded(rounded.loss, wanted, rounded.params) for wanted in ("reverse", "any"))
    wanted = graded(exact.loss, "reverse", exact.params)
    for by_training, by_jax, right in zip(trained, free, wanted, strict=True):
        errors = [np.linalg.norm(flat(found) - flat(right)) for found in (by_training, by_jax)]
        # Numbers of 8 bits, through a dozen products and twice as many in a product with the Hessian.
        assert errors[0] < 0.1 * length(right) and errors[1] < 1.5 * errors[0]
    slope = jax.jit(lambda params: jax.jvp(ops.derivatives("any")(rounded.loss), (params,), (u,))[1])
    assert abs(slope(rounded.params) - flat(wanted[0]) @ flat(u)) < 0.1 * length(wanted[0]) * length(u)


def test_the_refusal_of_forward_mode_names_the_remedy():
    case = made("bert")
    with pytest.raises(TypeError, match="forward-mode") as caught:
        jax.jvp(case.loss, (case.params,), (part(case.directions, 0),))
    # JAX has notes of its own.
    assert any('@jaxlm.ops.derivatives("any")' in note for note in caught.value.__notes__)
