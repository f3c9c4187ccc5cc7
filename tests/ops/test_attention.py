from functools import partial

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


def _attention_and_probs(*arrays, **options):
    """The outputs, and the probabilities that they are weighted by."""
    seen = []

    def look(probs):
        seen.append(probs)
        return probs

    return ops.attention(*arrays, change_probs=look, **options), seen[0]


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_each_query_is_a_weighted_mean(num_kv_heads, softcap):
    query, key, value, mask = _arrays(num_kv_heads=num_kv_heads)
    outputs = jax.jit(lambda *args: ops.attention(*args, mask=mask, scale=0.7, softcap=softcap))(
        query, key, value
    )
    np.testing.assert_allclose(outputs, _oracle(query, key, value, mask, 0.7, softcap), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [512, 515])
def test_long_causal_rows_in_parts_are_the_whole(length):
    """Two packed texts and padding, with a bias; forward and gradients."""
    rngs = jax.random.split(jax.random.key(1), 4)
    arrays = tuple(jax.random.normal(rng, (1, length, 2, 8)) for rng in rngs[:3])
    bias = jax.random.normal(rngs[3], (1, 2, length, length))
    segments = jnp.asarray(np.repeat([1, 2, 0], [200, length - 210, 10])[None])
    mask = ops.attention_mask(segments, causal=True, window=None)

    @partial(jax.jit, static_argnames="is_causal")
    def both(*arrays, is_causal):
        def loss(*arrays):
            outputs = ops.attention(*arrays, mask=mask, bias=bias, is_causal=is_causal)
            return jnp.square(outputs).sum(), outputs

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*arrays)

    parts, whole = both(*arrays, is_causal=True), both(*arrays, is_causal=False)
    # Sums of up to 515 terms in another order
    for found, wanted in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [5, 512])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_causality_hides_what_a_mask_of_it_hides(length, softcap):
    arrays = tuple(
        jax.random.normal(rng, (2, length, 2, 4)) for rng in jax.random.split(jax.random.key(2), 3)
    )
    mask = jnp.broadcast_to(jnp.tril(jnp.ones((length, length), bool)), (2, 1, length, length))

    def gradients(**how):
        def loss(*arrays):
            outputs = ops.attention(*arrays, softcap=softcap, **how)
            return jnp.square(outputs).sum(), outputs

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*arrays)

    told, masked = gradients(is_causal=True), gradients(mask=mask)
    for found, wanted in zip(jax.tree.leaves(told), jax.tree.leaves(masked), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_in_parts_a_mask_of_one_row_holds_for_all_queries():
    """Only the first key may be seen, so that no query attends to what is behind it."""
    query = jnp.ones((1, 512, 1, 8))
    value = jnp.broadcast_to(jnp.arange(512.0)[None, :, None, None], query.shape) + 7
    mask = (jnp.arange(512) == 0)[None, None, None]
    outputs = jax.jit(lambda *args: ops.attention(*args, mask=mask, is_causal=True))(query, query, value)
    np.testing.assert_array_equal(outputs, np.full(outputs.shape, 7.0))


def test_nothing_to_attend_to_is_zero_forward_and_backward():
    query, key, value, mask = _arrays()

    def loss(query, key, value):
        return jnp.square(ops.attention(query, key, value, mask=mask)).sum()

    with jax.debug_nans(True):
        outputs = ops.attention(query, key, value, mask=mask)
        gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(query, key, value)
    assert not np.any(outputs[1, 2])
    assert not np.any(gradients[0][1, 2])


def test_probabilities_sum_to_one_where_something_may_be_attended_to():
    query, key, value, mask = _arrays()
    outputs, probs = _attention_and_probs(query, key, value, mask=mask)
    np.testing.assert_allclose(probs.sum(-1), jnp.broadcast_to(mask.any(-1), probs.shape[:3]), atol=1e-6)
    value_of_heads = jnp.repeat(value, 2, axis=2)
    np.testing.assert_allclose(outputs, jnp.einsum("BNLS,BSNH->BLNH", probs, value_of_heads), atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [True, False])
def test_the_gradient_written_by_hand_is_the_derived_one(masked, num_kv_heads, softcap):
    query, key, value, mask = _arrays(num_kv_heads=num_kv_heads)
    mask = mask if masked else None
    options = {"scale": 0.3, "softcap": softcap, "dropout_rate": 0.3, "dropout_rng": jax.random.key(5)}
    upstream = jax.random.normal(jax.random.key(6), query.shape)

    def loss(change_probs):
        def of(query, key, value):
            outputs = ops.attention(query, key, value, mask=mask, change_probs=change_probs, **options)
            return (outputs * upstream).sum()

        return jax.jit(jax.value_and_grad(of, argnums=(0, 1, 2)))(query, key, value)

    (plain, plain_gradients), (derived, derived_gradients) = loss(None), loss(lambda probs: probs)
    # A sum of 96 terms of order one, which cancel
    np.testing.assert_allclose(plain, derived, rtol=1e-5, atol=1e-5)
    for gradient, wanted in zip(plain_gradients, derived_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_a_mask_of_each_head():
    query, key, value, mask = _arrays()
    heads = jnp.concatenate([mask, ~mask, mask, mask], axis=1)
    outputs = ops.attention(query, key, value, mask=heads, scale=1.0)
    np.testing.assert_allclose(outputs, _oracle(query, key, value, heads, 1.0, None), rtol=1e-5, atol=1e-5)


def test_bfloat16_is_the_float32_result_rounded():
    query, key, value, mask = _arrays(jnp.bfloat16)
    outputs = jax.jit(lambda *args: ops.attention(*args, mask=mask))(query, key, value)
    assert outputs.dtype == jnp.bfloat16
    wanted = _oracle(query, key, value, mask, 8**-0.5, None)
    # Weights and outputs keep 8 bits each.
    np.testing.assert_allclose(np.asarray(outputs, np.float64), wanted, rtol=2e-2, atol=2e-2)


def test_dropped_weights_are_made_up_for():
    query, key = jnp.zeros((1, 400, 1, 8)), jnp.zeros((1, 400, 1, 8))
    outputs, probs = _attention_and_probs(
        query, key, jnp.ones_like(key), dropout_rate=0.5, dropout_rng=jax.random.key(0)
    )
    np.testing.assert_allclose(probs, 1 / 400, rtol=1e-5)
    # A mean of 160,000 draws of 0 or 2, within five standard deviations.
    assert abs(float(outputs.mean()) - 1.0) < 5 / 400


def test_what_cannot_be_fused_is_said_once_and_can_be_refused(caplog):
    query = jnp.zeros((1, 14, 2, 8), jnp.bfloat16)
    with caplog.at_level("INFO", logger="jaxlm"):
        ops.attention(query, query, query)
        ops.attention(query, query, query)
        ops.attention(query, query, query, implementation="xla")
    backend = jax.default_backend()
    assert caplog.messages == [f"attention [1,14,2,8] bf16: xla, because the backend is {backend}"]
    for options in ({"require_fused": True}, {"implementation": "cudnn"}):
        with pytest.raises(ValueError, match=f"cannot be fused: the backend is {backend}"):
            ops.attention(query, query, query, **options)
    with pytest.raises(ValueError, match="contradicts"):
        ops.attention(query, query, query, implementation="xla", require_fused=True)


def test_heads_that_do_not_divide_and_a_missing_key_are_refused():
    query, key = jnp.zeros((1, 2, 3, 8)), jnp.zeros((1, 2, 2, 8))
    with pytest.raises(ValueError, match="divide the query heads, got 2 and 3"):
        ops.attention(query, key, key)
    with pytest.raises(ValueError, match="needs dropout_rng"):
        ops.attention(key, key, key, dropout_rate=0.1)


@pytest.mark.parametrize("shape", [(1, 4, 6, 7), (2, 1, 6, 7), (2, 4, 6, 7)])
def test_a_bias_is_added_to_the_scores_and_has_their_gradient(shape):
    """Compared with `change_probs`, where gradients are JAX's own."""
    query, key, value, mask = _arrays()
    bias = jax.random.normal(jax.random.key(9), shape)
    weights = jax.random.normal(jax.random.key(1), query.shape)

    def total(query, key, value, bias, plain):
        change = (lambda probs: probs) if plain else None
        outputs = ops.attention(query, key, value, mask=mask, bias=bias, softcap=2.0, change_probs=change)
        return (outputs * weights).sum()

    fast, plain = (
        jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3)), static_argnums=4)(
            query, key, value, bias, one
        )
        for one in (False, True)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), fast, plain)
    keys, values = (jnp.repeat(array, 2, axis=2) for array in (key, value))
    scores = 2 * jnp.tanh(jnp.einsum("BLNH,BSNH->BNLS", query, keys) * 8**-0.5 / 2) + bias
    probs = jnp.where(mask, jax.nn.softmax(jnp.where(mask, scores, -1e9), axis=-1), 0.0)
    expected = (jnp.einsum("BNLS,BSNH->BLNH", probs, values) * weights).sum()
    np.testing.assert_allclose(fast[0], expected, rtol=1e-5)
