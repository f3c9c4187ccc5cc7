"""Buckets of distances and waves against transformers, and what they are by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("num_buckets", "max_distance"), [(32, 128), (8, 12), (16, 64), (64, 256), (33, 100)]
)
def test_buckets_are_those_of_t5(num_buckets, max_distance, causal):
    torch = pytest.importorskip("torch")
    attention = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention
    distances = np.arange(-300, 301, dtype=np.int32)
    expected = attention._relative_position_bucket(
        torch.tensor(distances).long(), not causal, num_buckets, max_distance
    )
    found = ops.distance_buckets(
        jnp.asarray(distances), num_buckets=num_buckets, max_distance=max_distance, causal=causal
    )
    np.testing.assert_array_equal(found, expected.numpy())


def test_waves_are_those_of_marian():
    pytest.importorskip("torch")
    embedding = pytest.importorskip("transformers.models.marian.modeling_marian")
    expected = embedding.MarianSinusoidalPositionalEmbedding(40, 12).create_weight().numpy()
    np.testing.assert_allclose(ops.sinusoids(40, 12), expected, rtol=0, atol=1e-6)


def test_short_distances_have_a_bucket_each():
    found = ops.distance_buckets(jnp.arange(-3, 4), num_buckets=16, max_distance=40, causal=False)
    assert found.tolist() == [3, 2, 1, 0, 9, 10, 11]
