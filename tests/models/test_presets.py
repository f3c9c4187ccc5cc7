"""Parameter counts of the presets, by formulas worked out from the shapes."""

import dataclasses

import pytest

from jaxlm import models


@pytest.mark.parametrize(
    ("vocab_size", "count"), [(1024, 88_008_448), (4096, 92_730_112), (6000, 95_656_560)]
)
def test_undertale_medium(vocab_size, count):
    config = dataclasses.replace(models.PRESETS["undertale-medium"], vocab_size=vocab_size)
    assert models.num_params(config) == count


def encoder_count(V, D, depth, F, rows):  # noqa: N803 - axis letters
    embeddings = V * D + rows * D
    block = 4 * D * D + 4 * D + 2 * D * F + F + D + 4 * D
    final_norm, head = 2 * D, D * D + 3 * D + V
    return embeddings + depth * block + final_norm + head


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tiny", (128, 2, 512, 512)),
        ("small", (512, 4, 2048, 512)),
        ("base", (768, 12, 3072, 512)),
        ("large", (1024, 24, 4096, 512)),
    ],
)
def test_encoder_presets(name, shape):
    config = dataclasses.replace(models.PRESETS[name], vocab_size=30522)
    assert models.num_params(config) == encoder_count(30522, *shape)


def test_scanned_parameters_are_as_many():
    config = dataclasses.replace(models.PRESETS["tiny"], vocab_size=50)
    assert models.num_params(dataclasses.replace(config, scan_layers=True)) == models.num_params(config)


def test_gates_grouped_heads_and_missing_biases_are_counted():
    config = models.TransformerConfig(
        vocab_size=10,
        width=8,
        depth=1,
        num_heads=4,
        num_kv_heads=1,
        mlp_width=16,
        activation="swiglu",
        norm="rms",
        use_bias=False,
        position="rotary",
        causal=True,
        head="linear",
        head_bias=False,
    )
    # embedding, fused qkv of 4 + 2 * 1 heads of 2, output, gate and up, down, three norms
    expected = 10 * 8 + 6 * 2 * 8 + 8 * 8 + 2 * 16 * 8 + 16 * 8 + 3 * 8
    assert models.num_params(config, "causal_lm") == expected
