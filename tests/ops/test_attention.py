import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


def _oracle(query, key, value, mask, scale, softcap):
    """One query at a time, in float64."""
    query, key, value = (np.asarray(array, np.float64) for array in (query, key, value))
    outputs, groups = np.zeros(query.shape), query.shape[2] // key.shape[2]
    for b, i, n in np.ndindex(query.shape[:3]):
        scores = key[b, :, n // groups] @ query[b, i, n] * scale
        scores = softcap * np.tanh(scores / softcap) if softcap else scores
        allowed = np.flatnonzero(mask[b, min(n, mask.shape[1] - 1), min(i, mask.shape[2] - 1)])
        if allowed.size:
            weights = np.exp(scores[allowed] - scores[allowed].max())
            outputs[b, i, n] = weights @ value[b, allowed, n // groups] / weights.sum()
    return outputs


def _arrays(dtype=jnp.float32, num_heads=4, num_kv_heads=2, length=6, keys=7):
    rngs = jax.random.split(jax.random.key(0), 4)
    query = jax.random.normal(rngs[0], (2, length, num_heads, 8), dtype)
    key, value = (jax.random.normal(rng, (2, keys, num_kv_heads, 8), dtype) for rng in rngs[1:3])
    mask = jax.random.bernoulli(rngs[3], 0.5, (2, 1, length, keys)).at[1, 0, 2].set(False)
    return query, key, value, mask


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_each_query_is_a_weighted_mean(num_kv_heads, softcap):
    query, key, value, mask = _arrays(num_kv_heads=num_kv_heads)
    outputs = jax.jit(lambda *args: ops.attention(*args, mask=mask, scale=0.7, softcap=softcap))(
        query, key, value
    )
    np.testing.assert_allclose(outputs, _oracle(query, key, value, mask, 0.7, softcap), rtol=1e-5, atol=1e-5)


def test_nothing_to_attend_to_is_zero_forward_and_backward():
    query, key, value, mask = _arrays()

    def loss(query, key, value):
        return jnp.square(ops.attention(query, key, value, mask=mask)).sum()

    with jax.debug_nans(True):
        outputs = ops.attention(query, key, value, mask=mask)
        gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(query, key, value)
    assert not np.any(outputs[1, 2])
    assert not np.any(gradients[0][1, 2])


def test_returned_probabilities_sum_to_one_where_something_may_be_attended_to():
    query, key, value, mask = _arrays()
    outputs, probs = ops.attention(query, key, value, mask=mask, return_probs=True)
    np.testing.assert_allclose(probs.sum(-1), jnp.broadcast_to(mask.any(-1), probs.shape[:3]), atol=1e-6)
    value_of_heads = jnp.repeat(value, 2, axis=2)
    np.testing.assert_allclose(outputs, jnp.einsum("BNLS,BSNH->BLNH", probs, value_of_heads), atol=1e-5)
