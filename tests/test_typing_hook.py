"""The run-time check of shapes is live: a wrong shape at a public boundary is an error in every test."""

import jax.numpy as jnp
import jaxtyping
import pytest

from jaxlm import ops


def test_a_wrong_rank_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError):
        ops.layer_norm(jnp.ones((2, 3)), jnp.ones((1, 3)), None, 1e-5)
