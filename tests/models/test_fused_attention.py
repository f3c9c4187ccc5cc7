"""What a model asks of cuDNN's attention, with the backend and the kernel replaced."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxlm import models
from jaxlm.devices import Target, compiling_for

SIZE = {"vocab_size": 16, "width": 16, "depth": 2, "num_heads": 2, "max_length": 8}
CAUSAL = models.TransformerConfig(causal=True, dtype="bfloat16", **SIZE)
TOKENS = jnp.array([[3, 4, 5, 6], [7, 8, 9, 10]])
PACKED = jnp.array([[1, 1, 2, 2], [1, 1, 1, 0]])


@pytest.fixture
def asked(monkeypatch):
    """What each layer asks of the kernel: whether it is causal, and whether it has a mask."""
    seen = []

    def kernel(query, key, value, *, mask=None, is_causal=False, scale, implementation):
        seen.append((is_causal, mask is not None))
        return query

    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    with compiling_for(Target("gpu", (9, 0))):
        yield seen


@pytest.mark.parametrize(
    ("changes", "rows", "expected"),
    [
        ({}, {}, (True, False)),
        ({"position": "rotary"}, {}, (True, False)),
        ({"scan_layers": True}, {}, (True, False)),
        ({}, {"segments": PACKED}, (False, True)),
        ({"window": 2}, {}, (False, True)),
        ({}, {"attention_mask": jnp.ones((2, 1, 4, 4), bool)}, (False, True)),
        ({"causal": False}, {}, (False, False)),
        ({"causal": False}, {"segments": PACKED}, (False, True)),
    ],
)
def test_rows_that_are_causal_and_nothing_else_have_no_mask(asked, changes, rows, expected):
    config = dataclasses.replace(CAUSAL, **changes)
    model = models.build(config, "causal_lm" if config.causal else "masked_lm")
    variables = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    asked.clear()
    jax.eval_shape(
        lambda variables: model.apply(variables, models.Inputs(tokens=TOKENS, **rows)).hidden, variables
    )
    assert set(asked) == {expected}


def test_blocks_with_and_without_a_window_differ(asked):
    config = dataclasses.replace(CAUSAL, window=2, layer_pattern="wf")
    model = models.build(config, "causal_lm")
    variables = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    asked.clear()
    jax.eval_shape(lambda variables: model.apply(variables, TOKENS).hidden, variables)
    assert asked == [(False, True), (True, False)]
