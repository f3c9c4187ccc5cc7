"""The choice of cuDNN, with the backend and the kernel replaced: no GPU is needed to hold the decisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops
from jaxlm.devices import Target, compiling_for
from jaxlm.ops import _fused_attention

QUERY = jnp.ones((1, 4, 2, 8), jnp.bfloat16)
OPTIONS = {"softcap": None, "dropout_rate": 0.0, "needs_probs": False}


@pytest.fixture
def on_gpu():
    with compiling_for(Target("gpu", (8, 0))):
        yield


@pytest.mark.parametrize(
    ("query", "options", "reason"),
    [
        (QUERY, {}, None),
        (QUERY.astype(jnp.float16), {}, None),
        (QUERY.astype(jnp.float32), {}, "not float32"),
        (QUERY[..., :4], {}, "in eights, got 4"),
        (jnp.ones((1, 4, 2, 136), jnp.bfloat16), {}, "at most 128 wide on this GPU, got 136"),
        (QUERY[:, :3], {}, "even lengths"),
        (QUERY, {"softcap": 5.0}, "soft cap"),
        (QUERY, {"dropout_rate": 0.1}, "dropout"),
        (QUERY, {"needs_probs": True}, "probabilities"),
    ],
)
def test_each_limit_is_named(on_gpu, query, options, reason):
    found = _fused_attention.reason_not_fused(query, query, **OPTIONS | options)
    assert found is None if reason is None else reason in found


def test_it_is_left_out_where_forward_mode_is_asked_for(on_gpu, monkeypatch):
    def kernel(*arguments, **options):
        raise AssertionError("cuDNN has no forward mode")

    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    with ops.derivatives("any"):
        for implementation in ("auto", "cudnn"):
            outputs = ops.attention(QUERY, QUERY, QUERY, implementation=implementation)
            np.testing.assert_array_equal(outputs, QUERY)
        with pytest.raises(ValueError, match=r'cannot be fused: .* derivatives\("any"\)'):
            ops.attention(QUERY, QUERY, QUERY, require_fused=True)


@pytest.mark.parametrize(
    ("capability", "widest"),
    [
        ((7, 5), 0),
        ((8, 0), 128),
        ((8, 9), 128),
        ((9, 0), 256),
        ((10, 0), 256),
        ((12, 0), 256),
        (None, 0),
    ],
)
def test_heads_are_as_wide_as_the_gpu_lets_them(capability, widest):
    for width in (8, 128, 136, 256, 264):
        query = jnp.ones((1, 4, 2, width), jnp.bfloat16)
        with compiling_for(Target("gpu", capability)):
            reason = _fused_attention.reason_not_fused(query, query, **OPTIONS)
        if widest == 0:
            assert "Ampere" in reason
        else:
            assert reason is None if width <= widest else f"at most {widest} wide on this GPU" in reason


@pytest.mark.parametrize(("is_causal", "has_mask"), [(True, False), (False, False), (True, True)])
def test_causality_is_told_without_a_mask(on_gpu, monkeypatch, is_causal, has_mask):
    told = []

    def kernel(query, key, value, *, mask=None, is_causal=False, scale, implementation):
        told.append((is_causal, mask is not None))
        return query

    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    mask = jnp.tril(jnp.ones((1, 1, 4, 4), bool)) if has_mask else None
    ops.attention(QUERY, QUERY, QUERY, mask=mask, is_causal=is_causal, require_fused=True)
    assert told == [(is_causal and not has_mask, has_mask)]


def test_empty_rows_are_cut_from_the_fused_result_and_its_gradient(on_gpu, monkeypatch):
    def kernel(query, key, value, *, mask, scale, implementation):
        assert implementation == "cudnn"
        return query + value  # what it would spread over an empty row

    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    mask = jnp.ones((1, 1, 4, 4), bool).at[0, 0, 1].set(False)
    outputs = ops.attention(QUERY, QUERY, QUERY, mask=mask, require_fused=True)
    gradient = jax.grad(lambda x: ops.attention(x, QUERY, QUERY, mask=mask).astype(jnp.float32).sum())(QUERY)
    for array in (outputs, gradient):
        assert not np.any(array[:, 1])
        assert np.all(array[:, 2] != 0)


def test_a_mask_of_all_queries_has_a_row_for_each(on_gpu, monkeypatch):
    def kernel(query, key, value, *, mask, scale, implementation):
        assert mask.shape == (1, 1, 4, 4) and mask.all(axis=2).tolist() == [[[True, True, False, False]]]
        return query

    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    mask = (jnp.arange(4) < 2)[None, None, None]
    assert ops.attention(QUERY, QUERY, QUERY, mask=mask, require_fused=True).shape == QUERY.shape
