"""What must not change a model's output: packing, padding, batch order, jit, scan and remat."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from tests.models.conftest import INSTRUCTION, dynamic_turns

SCHEMES = {
    "learned": {"position": "learned", "embedding_norm": True},
    "rotary": {"position": "rotary", "norm": "rms", "activation": "geglu", "num_kv_heads": 2},
    "instruction": {"position": INSTRUCTION, "norm_placement": "post"},
    "relative": {"position": models.Relative(buckets=8, distance=6)},
    "none": {"position": "none", "window": 3, "head": "linear", "tie_embeddings": False},
    "causal": {"position": "rotary", "causal": True, "activation": "relu"},
    "mixed": {"shared": "mixed"},
    "parallel": {
        "shared": "parallel",
        "position": dynamic_turns(length=4),
        "token_dropout": True,
        "mask_id": 5,
    },
}
FIRST, SECOND = [1, 2, 5, 3], [4, 5, 6, 7, 8]
# Sums of at most 64 terms of order one, in another order
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module", params=SCHEMES, ids=list(SCHEMES))
def case(request, small):
    return small(**SCHEMES[request.param])


@pytest.fixture(scope="module")
def packed(case):
    """Logits of both examples in one row, with padding between and after them."""
    tokens = jnp.array([[*FIRST, 0, *SECOND, 0, 0]])
    segments = jnp.array([[1] * 4 + [0] + [2] * 5 + [0] * 2])
    return np.asarray(case.logits(case.variables, tokens, segments=segments))[0]


def test_packed_equals_separate(case, packed):
    for ids, place in ((FIRST, 0), (SECOND, 5)):
        alone = case.logits(case.variables, jnp.array([ids]))[0]
        np.testing.assert_allclose(packed[place : place + len(ids)], alone, **TOLERANCE)


def test_padding_content_and_length_change_nothing(case, packed):
    tokens = jnp.array([[*FIRST, 9, *SECOND, 5, 10, 5, 3, 2]])
    segments = jnp.array([[1] * 4 + [0] + [2] * 5 + [0] * 5])
    other = case.logits(case.variables, tokens, segments=segments)[0]
    np.testing.assert_allclose(other[:4], packed[:4], **TOLERANCE)
    np.testing.assert_allclose(other[5:10], packed[5:10], **TOLERANCE)


def test_segment_numbers_are_only_names(case, packed):
    tokens = jnp.array([[*FIRST, 0, *SECOND, 0, 0]])
    segments = jnp.array([[7] * 4 + [0] + [3] * 5 + [0] * 2])
    other = case.logits(case.variables, tokens, segments=segments)[0]
    np.testing.assert_array_equal(other, packed)


def test_batch_permutation(case):
    tokens = jax.random.randint(jax.random.key(3), (3, 6), 0, 11)
    segments = jnp.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 0], [1, 2, 3, 4, 0, 0]])
    logits = np.asarray(case.logits(case.variables, tokens, segments=segments))
    order = jnp.array([2, 0, 1])
    permuted = case.logits(case.variables, tokens[order], segments=segments[order])
    np.testing.assert_allclose(permuted, logits[np.asarray(order)], **TOLERANCE)


def test_jit_changes_nothing(small):
    case = small(position="rotary", causal=True, depth=1)
    with jax.disable_jit():
        hidden = case.model.apply(case.variables, jnp.array([FIRST])).hidden
        eager = case.model.apply(case.variables, hidden, method="logits")
    np.testing.assert_allclose(case.logits(case.variables, jnp.array([FIRST])), eager, **TOLERANCE)


def test_a_row_of_padding_is_finite_in_both_directions(case):
    tokens, segments = jnp.zeros((2, 4), jnp.int32), jnp.array([[0, 0, 0, 0], [1, 1, 0, 0]])

    def loss(variables):
        return jnp.square(case.logits(variables, tokens, segments=segments)).mean()

    with jax.debug_nans(True):
        value, gradient = jax.jit(jax.value_and_grad(loss))(case.variables)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_length_one(case):
    assert np.isfinite(case.logits(case.variables, jnp.array([[3]]))).all()


def test_vectors_in_place_of_tokens(case):
    tokens = jnp.array([FIRST])
    vectors = case.model.apply(case.variables, tokens, method="token_vectors")
    scheme = case.config.position
    positions = (
        jnp.array([[[0, 0], [0, 1], [0, 2], [1, 0]]]) if isinstance(scheme, models.Instruction) else None
    )
    from_vectors = case.logits(case.variables, embeddings=vectors, positions=positions)
    from_tokens = case.logits(case.variables, tokens)
    if case.config.token_dropout:  # a product more, which is fused into another program
        np.testing.assert_allclose(from_vectors, from_tokens, **TOLERANCE)
    else:
        np.testing.assert_array_equal(from_vectors, from_tokens)


def gradients(model, variables, tokens, segments):
    def loss(variables):
        hidden = model.apply(variables, models.Inputs(tokens=tokens, segments=segments)).hidden
        return jnp.square(model.apply(variables, hidden, method="logits")).mean()

    return jax.jit(jax.value_and_grad(loss))(variables)


@pytest.mark.parametrize(
    "options", [{"scan_layers": True}, {"remat": True}, {"scan_layers": True, "remat": True}]
)
def test_scan_and_remat_compute_the_same(small, options):
    case = small(position="rotary", causal=True)
    tokens, segments = jnp.array([FIRST + SECOND]), jnp.array([[1] * 4 + [2] * 5])
    value, gradient = gradients(case.model, case.variables, tokens, segments)
    model = models.build(dataclasses.replace(case.config, **options), "causal_lm")
    scanned = options.get("scan_layers", False)
    params = models.stack_blocks(case.variables["params"]) if scanned else case.variables["params"]
    other_value, other_gradient = gradients(model, {"params": params}, tokens, segments)
    other = models.unstack_blocks(other_gradient["params"]) if scanned else other_gradient["params"]
    np.testing.assert_allclose(other_value, value, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), other, gradient["params"])


def test_stacking_is_undone(small):
    params = small(position="rotary", causal=True).variables["params"]
    again = models.unstack_blocks(models.stack_blocks(params))
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_bfloat16_is_close_to_float32(small):
    case = small(position="rotary", causal=True)
    tokens = jnp.array([FIRST + SECOND])
    model = models.build(dataclasses.replace(case.config, dtype="bfloat16"), "causal_lm")
    hidden = jax.jit(model.apply)(case.variables, tokens).hidden
    assert hidden.dtype == jnp.bfloat16
    logits = model.apply(case.variables, hidden, method="logits")
    assert logits.dtype == jnp.float32
    exact = case.logits(case.variables, tokens)
    # bfloat16 keeps 8 bits: each of a dozen roundings is 0.4 %, of logits of size 5
    assert np.abs(logits - exact).max() < 0.03 * np.abs(exact).max()


def test_bfloat16_parameters_stay_bfloat16(small):
    case = small(param_dtype="bfloat16", dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(case.variables)} == {jnp.dtype("bfloat16")}
    assert np.isfinite(case.logits(case.variables, jnp.array([FIRST]))).all()
