"""The host's instruction positions against those of the device."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops
from jaxlm.scoring.engine._instruction_positions import instruction_positions_on_host

NEXT = 2


@pytest.mark.parametrize("seed", range(5))
def test_host_and_device_agree(seed):
    tokens = np.random.default_rng(seed).integers(0, 4, 30).astype(np.int32)
    expected = ops.instruction_positions(jnp.asarray(tokens)[None], None, NEXT)[0]
    got = instruction_positions_on_host(tokens, NEXT)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], []),
        ([NEXT], [[0, 0]]),
        ([NEXT, NEXT, 1], [[0, 0], [1, 0], [2, 0]]),
        ([1, 3, NEXT, 3], [[0, 0], [0, 1], [0, 2], [1, 0]]),
    ],
)
def test_positions_by_hand(tokens, expected):
    got = instruction_positions_on_host(np.array(tokens, np.int32), NEXT)
    assert got.shape == (len(tokens), 2) and got.tolist() == expected
