"""Several heads on one body are the models of one head each, on the same body."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models
from tests.models.conftest import SMALL, drawn

LABEL = models.HeadConfig(num_outputs=3, pooling="attention")
HEADS = {"fill": "masked_lm", "next": "causal_lm", "label": LABEL}
TOKENS = jnp.array([[1, 2, 3, 4, 5, 6]])
SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 0]])
INPUTS = models.Inputs(tokens=TOKENS, segments=SEGMENTS)


@pytest.fixture(scope="module", params=["tied", "untied"])
def several(request):
    config = dataclasses.replace(SMALL, tie_embeddings=request.param == "tied")
    model = models.build(config, "joint", HEADS)
    shapes = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    return model, jax.tree_util.tree_map_with_path(drawn, shapes)


def single(model, variables, head):
    """The model of one head, and its parameters."""
    config, kind = model.config, HEADS[head]
    params = {"params": models.head_params(variables["params"], head)}
    if isinstance(kind, models.HeadConfig):
        return models.build(config, "classification", kind), params
    return models.build(dataclasses.replace(config, causal=kind == "causal_lm"), kind), params


@pytest.mark.parametrize("head", ["fill", "next"])
def test_a_token_head_is_its_language_model(several, head):
    model, variables = several
    call = jax.jit(partial(model.apply, head=head), static_argnames="method")
    hidden = call(variables, INPUTS).hidden
    alone, params = single(model, variables, head)
    expected = alone.apply(params, INPUTS).hidden
    np.testing.assert_allclose(hidden, expected, atol=1e-5)  # fused differently
    logits = call(variables, hidden, method="logits")
    np.testing.assert_allclose(logits, alone.apply(params, hidden, method="logits"), atol=1e-5)
    features = call(variables, hidden, method="features")
    np.testing.assert_allclose(features, alone.apply(params, hidden, method="features"), atol=1e-5)
    for ours, theirs in zip(
        model.apply(variables, head=head, method="output_weights"),
        alone.apply(params, method="output_weights"),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_sequence_head_is_its_model(several):
    model, variables = several
    alone, params = single(model, variables, "label")
    hidden = model.apply(variables, INPUTS, head="label").hidden
    options = {"segments": SEGMENTS, "num_segments": 2, "method": "outputs"}
    outputs = model.apply(variables, hidden, head="label", **options)
    assert outputs.shape == (1, 2, 3)
    np.testing.assert_allclose(outputs, alone.apply(params, hidden, **options), atol=1e-6)


def test_only_the_causal_head_hides_what_comes_later(several):
    model, variables = several
    changed = TOKENS.at[0, 2].set(9)
    for head in HEADS:
        before, after = (
            model.apply(variables, INPUTS._replace(tokens=tokens), head=head).hidden
            for tokens in (TOKENS, changed)
        )
        moved = np.abs(np.asarray(before - after)).max(-1)[0] > 1e-4
        assert moved.tolist() == [head != "next", head != "next", True, False, False, False]


def test_a_head_that_is_not_there_or_of_another_kind_is_named(several):
    model, variables = several
    with pytest.raises(ValueError, match="head is one of fill, next, label"):
        model.apply(variables, TOKENS)
    with pytest.raises(ValueError, match="no head 'fil': its heads are fill, next, label"):
        model.apply(variables, TOKENS, head="fil")
    with pytest.raises(ValueError, match="'label' reads sequences, not positions"):
        model.apply(variables, jnp.zeros((1, 2, 16)), head="label", method="logits")
    with pytest.raises(ValueError, match="'fill' reads positions, not sequences"):
        model.apply(variables, jnp.zeros((1, 2, 16)), head="fill", method="outputs")
    with pytest.raises(ValueError, match="no head 'fil': their heads are fill, next, label"):
        models.head_params({"body": {}, **{f"head_{name}": {} for name in HEADS}}, "fil")


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        ({}, "at least one: got none"),
        ({"a.b": "masked_lm"}, "is an identifier such as 'fill': got 'a.b'"),
        ({"label": models.HeadConfig()}, "head 'label' needs num_outputs"),
    ],
)
def test_heads_that_cannot_be_are_refused(heads, told):
    with pytest.raises(ValueError, match=told):
        models.build(SMALL, "joint", heads)


def test_a_causal_body_has_no_masked_head():
    causal = dataclasses.replace(SMALL, causal=True)
    with pytest.raises(ValueError, match="head 'fill': a masked LM sees both sides"):
        models.build(causal, "joint", {"fill": "masked_lm"})
