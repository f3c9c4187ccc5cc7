"""A head taken apart makes the logits and the gradients of the head that is whole."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models

HIDDEN = jax.random.normal(jax.random.key(3), (5, 16))


def by_hand(head, hidden):
    """Logits from the parts, in NumPy."""
    logits = np.asarray(head.features(hidden)) @ np.asarray(head.kernel).T
    logits = logits if head.bias is None else logits + np.asarray(head.bias)
    return logits if head.softcap is None else head.softcap * np.tanh(logits / head.softcap)


@pytest.mark.parametrize(
    "fields",
    [
        {"head": "transform", "head_bias": True},
        {"tie_embeddings": False, "head": "linear", "head_bias": False},
        {"head": "linear", "output_scale": 0.5, "logit_softcap": 1.5},
    ],
)
def test_the_parts_make_the_logits_of_the_head(small, fields):
    case = small(**fields)
    head = models.head_projection(case.model.apply, case.variables["params"])
    logits = case.model.apply(case.variables, HIDDEN, method="logits")
    np.testing.assert_allclose(by_hand(head, HIDDEN), logits, atol=1e-5)  # float32 sums of 16 terms


def test_a_head_of_several_is_named_in_the_call(small):
    config = small(causal=False).model.config
    model = models.build(config, "joint", {"first": "masked_lm", "second": "masked_lm"})
    variables = model.init(jax.random.key(0), jnp.array([[1, 2, 3]]))
    for name in ("first", "second"):
        apply_fn = partial(model.apply, head=name)
        logits = apply_fn(variables, HIDDEN, method="logits")
        head = models.head_projection(apply_fn, variables["params"])
        np.testing.assert_allclose(by_hand(head, HIDDEN), logits, atol=1e-5)  # float32 sums of 16 terms


def test_gradients_reach_every_parameter_of_the_head(small):
    case = small(head="transform", head_bias=True)

    def from_parts(params):
        head = models.head_projection(case.model.apply, params)
        return jnp.square(head.features(HIDDEN) @ head.kernel.T + head.bias[None]).sum()

    def from_logits(params):
        return jnp.square(case.model.apply({"params": params}, HIDDEN, method="logits")).sum()

    params = case.variables["params"]
    ours, expected = jax.grad(from_parts)(params), jax.grad(from_logits)(params)
    assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(ours["head"]))
    # Sums of 5 times 11 products in another order.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), ours, expected)
