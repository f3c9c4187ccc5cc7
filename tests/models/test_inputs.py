"""The record of what a model reads: tokens in short, arrays of the host, and what contradicts itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import errors, models

TOKENS = np.array([[1, 2, 3, 4], [5, 6, 7, 0]], np.int32)
ROWS = np.ones((2, 4), np.int32)
VECTORS = np.zeros((2, 4, 16), np.float32)


def read(case, **fields):
    return jax.eval_shape(
        lambda variables: case.model.apply(variables, models.Inputs(**fields)).hidden, case.variables
    )


def test_tokens_are_short_for_the_record(small):
    case = small(causal=True, position="rotary")
    hidden = jax.jit(case.model.apply)
    short, record, host = (
        hidden(case.variables, inputs).hidden
        for inputs in (jnp.asarray(TOKENS), models.Inputs(jnp.asarray(TOKENS)), models.Inputs(tokens=TOKENS))
    )
    np.testing.assert_array_equal(short, record)
    np.testing.assert_array_equal(short, host)
    eager = case.model.apply(case.variables, models.Inputs(tokens=TOKENS)).hidden
    np.testing.assert_allclose(eager, short, rtol=0, atol=1e-5)  # the same sums, fused differently


def test_the_shape_is_that_of_what_is_read():
    for inputs in (models.Inputs(tokens=TOKENS), models.Inputs(embeddings=VECTORS)):
        assert (inputs.num_rows, inputs.length) == (2, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "tokens or embeddings: got neither"),
        ({"tokens": TOKENS, "embeddings": VECTORS}, "tokens or embeddings: got both"),
        ({"tokens": [[1, 2]]}, "inputs.tokens is an array of integers: got list"),
        ({"tokens": VECTORS[0]}, "inputs.tokens is an array of integers: got one of float32"),
        ({"tokens": TOKENS[0]}, r"inputs.tokens has the shape \[any, any\] here: got \[4\]"),
        ({"embeddings": TOKENS}, "inputs.embeddings is an array of floats: got one of int32"),
        ({"tokens": TOKENS, "segments": ROWS[:, :3]}, r"segments has the shape \[2, 4\] here: got \[2, 3\]"),
        ({"tokens": TOKENS, "segments": ROWS > 0}, "segments is an array of integers: got one of bool"),
        ({"tokens": TOKENS, "token_types": ROWS[:1]}, r"token_types has .*\[2, 4\] here: got \[1, 4\]"),
        ({"tokens": TOKENS, "attention_mask": ROWS > 0}, r"\[2, any, 4, any\] here: got \[2, 4\]"),
        ({"tokens": TOKENS, "positions": ROWS[..., None]}, r"of shape \(2, 4\): got \(2, 4, 1\)"),
        ({"tokens": TOKENS, "memory": VECTORS}, "reads no memory: got one"),
        ({"tokens": TOKENS, "memory_segments": ROWS}, "memory_segments are those of a memory"),
        ({"tokens": TOKENS, "encoder": models.Inputs(tokens=TOKENS)}, "has no encoder: got inputs for one"),
        ({"tokens": TOKENS, "encoder": models.Inputs()}, "tokens or embeddings: got neither"),
    ],
)
def test_contradictions_are_one_line(small, fields, message):
    with pytest.raises(errors.UsageError, match=message) as caught:
        read(small(), **fields)
    assert "\n" not in str(caught.value)


def test_slots_are_those_of_a_cache(small):
    case = small(causal=True)
    with pytest.raises(errors.UsageError, match="slots are those of a cache"):
        case.model.apply(case.variables, jnp.asarray(TOKENS), slots=jnp.asarray(ROWS))
