"""Draws from a matrix's rows against the matrix."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption

DRAWS = 1 << 16
# Evenly spread words make the shares of a row exact to its number of entries by the number of draws.
WORDS = ((np.arange(DRAWS, dtype=np.uint64) << 16) + (1 << 15)).astype(np.uint32)


@pytest.mark.parametrize("size", [1, 2, 5, 33])
def test_shares_are_the_rows(size):
    generator = np.random.default_rng(size)
    matrix = generator.random((size, size)) * (generator.random((size, size)) < 0.6) + np.eye(size) * 0.01
    matrix /= matrix.sum(1, keepdims=True)
    draw = corruption.by_matrix(matrix)
    for row in range(size):
        drawn = draw(WORDS, np.full(DRAWS, row))
        shares = np.bincount(drawn, minlength=size) / DRAWS
        np.testing.assert_allclose(shares, matrix[row], atol=2 * size / DRAWS)
        assert not shares[matrix[row] == 0].any()


def test_the_device_draws_what_the_host_draws_and_other_tokens_stay():
    draw = corruption.by_matrix(corruption.blosum62_transitions(), ids=np.arange(100, 120))
    tokens = np.random.default_rng(0).integers(95, 125, DRAWS).astype(np.int32)
    words = np.random.default_rng(1).integers(0, 1 << 32, DRAWS, dtype=np.uint32)
    ours = draw(words, tokens)
    np.testing.assert_array_equal(draw(jnp.asarray(words), jnp.asarray(tokens)), ours)
    inside = (tokens >= 100) & (tokens < 120)
    assert (ours[~inside] == tokens[~inside]).all()
    assert (ours[inside] != tokens[inside]).all() and ((ours[inside] >= 100) & (ours[inside] < 120)).all()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.5, 0.4], [0, 1]], "row 0 has sum 0.9 and smallest entry 0.4"),
        ([[1, 0], [1.5, -0.5]], "row 1 has sum 1 and smallest entry -0.5"),
        ([[1, 0]], r"is square: got the shape \(1, 2\)"),
    ],
)
def test_what_is_no_row_stochastic_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        corruption.by_matrix(np.array(matrix, float))
