"""Threefry against the authors' known answers and JAX's own primitive; draws against their coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry2x32_p

from jaxlm import ops

WORD = st.integers(0, 2**32 - 1)


def words(*values):
    return tuple(np.array([value], np.uint32) for value in values)


# Random123 1.14, tests/kat_vectors, "threefry2x32 20": counter, key, result.
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_known_answers(counter, key, expected, as_array):
    first, second = ops.threefry(tuple(map(as_array, words(*key))), tuple(map(as_array, words(*counter))))
    assert (int(first[0]), int(second[0])) == expected


def test_equals_the_primitive_of_jax():
    keys_and_counters = np.random.default_rng(0).integers(0, 2**32, (4, 1000), dtype=np.uint32)
    expected = threefry2x32_p.bind(*map(jnp.asarray, keys_and_counters))
    ours = ops.threefry(tuple(keys_and_counters[:2]), tuple(keys_and_counters[2:]))
    np.testing.assert_array_equal(ours, expected)


def test_a_block_is_keyed_by_fold_in_of_the_epoch_and_counts_example_and_offset():
    rng = jax.random.key(2**31 + 11)
    ids, offsets = jnp.array([[5, 5], [0, 9]]), jnp.array([[0, 3], [1, 2]])
    bits = ops.uniform_bits(rng, jnp.array([0, 4]), ids, offsets)
    for row, epoch in enumerate((0, 4)):
        key = jax.random.key_data(jax.random.fold_in(rng, epoch))
        for column in range(2):
            counter = words(int(ids[row, column]), int(offsets[row, column]))
            expected = ops.threefry((np.uint32(key[0]), np.uint32(key[1])), counter)
            assert bits[row, column].tolist() == [int(word[0]) for word in expected]


def test_host_draws_the_same_bits():
    rng, shape = jax.random.key(3), (4, 33)
    ids = np.random.default_rng(1).integers(0, 2**31 - 1, shape, dtype=np.int32)
    offsets = np.random.default_rng(2).integers(0, 2**31 - 1, shape, dtype=np.int32)
    epochs = np.arange(4, dtype=np.int32)
    on_device = jax.jit(ops.uniform_bits)(rng, *map(jnp.asarray, (epochs, ids, offsets)))
    on_host = ops.position_bits(np.asarray(ops.key_words(rng)), epochs, ids, offsets, xp=np)
    np.testing.assert_array_equal(on_device, on_host)


def test_key_epoch_example_and_offset_each_change_the_draw():
    def bits(seed=0, epoch=0, example=0, offset=0):
        drawn = ops.uniform_bits(
            jax.random.key(seed), jnp.array([epoch]), jnp.array([[example]]), jnp.array([[offset]])
        )
        return tuple(drawn.reshape(-1).tolist())

    draws = [bits(), bits(seed=1), bits(epoch=1), bits(example=1), bits(offset=1)]
    assert len(set(draws)) == len(draws)


def test_a_wider_key_is_hashed_to_two_words():
    wide = jax.random.key(5, impl="rbg")
    assert ops.key_words(wide).shape == (2,)
    assert ops.key_words(wide).tolist() != ops.key_words(jax.random.key(6, impl="rbg")).tolist()


def test_every_bit_is_fair_and_neighbours_are_uncorrelated():
    offsets = jnp.arange(2**16).reshape(16, -1)
    bits = ops.uniform_bits(jax.random.key(0), jnp.zeros(16, jnp.int32), offsets * 0 + 7, offsets)
    ones = np.unpackbits(np.asarray(bits).reshape(-1, 2).view(np.uint8), axis=1).astype(float)
    deviation = 0.5 / np.sqrt(len(ones))
    assert np.abs(ones.mean(0) - 0.5).max() < 5 * deviation  # 64 bits, five standard deviations
    between = np.abs((ones[1:] == ones[:-1]).mean(0) - 0.5).max()
    assert between < 5 * deviation


@given(st.lists(WORD, min_size=1, max_size=8), WORD)
@settings(max_examples=200, deadline=None)
def test_multiply_high_is_the_upper_half_of_the_product(values, factor):
    expected = [value * factor >> 32 for value in values]
    array = np.array(values, np.uint32)
    assert ops.multiply_high(array, factor).tolist() == expected


def test_multiply_high_on_device_equals_host():
    array = np.random.default_rng(0).integers(0, 2**32, 500, dtype=np.uint32)
    for factor in (1, 30522, 2**16, 2**32 - 1):
        on_device = ops.multiply_high(jnp.asarray(array), factor)
        np.testing.assert_array_equal(on_device, ops.multiply_high(array, factor))


def test_multiply_high_takes_a_factor_for_each_word():
    words_, factors = np.random.default_rng(1).integers(0, 2**32, (2, 500), dtype=np.uint32)
    expected = [int(word) * int(factor) >> 32 for word, factor in zip(words_, factors, strict=True)]
    assert ops.multiply_high(words_, factors).tolist() == expected
    assert ops.multiply_high(jnp.asarray(words_), jnp.asarray(factors)).tolist() == expected


def test_domains_draw_apart():
    ids = np.arange(2**14, dtype=np.int32).reshape(4, -1)
    key, epochs = np.array([3, 4], np.uint32), np.arange(4, dtype=np.int32)
    drawn = [ops.position_bits(key, epochs, ids, ids, xp=np, domain=domain) for domain in range(3)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        agreeing = np.unpackbits((drawn[first] ^ drawn[second]).view(np.uint8)).mean()
        assert abs(agreeing - 0.5) < 5 * 0.5 / np.sqrt(drawn[0].size * 32)


def test_normals_are_normal_uncorrelated_and_of_their_position():
    ids = jnp.arange(2**14).reshape(16, -1)
    draw = jax.jit(ops.position_normals, static_argnums=4)
    epochs = jnp.arange(16)
    normals = np.asarray(draw(jax.random.key(0), epochs, ids, ids, 7))
    assert normals.shape == (16, 1024, 7)
    flat = normals.reshape(-1, 7)
    # Moments of 16,384 draws, within five standard errors of each.
    error = 5 / np.sqrt(len(flat))
    assert np.abs(flat.mean(0)).max() < error
    assert np.abs((flat**2).mean(0) - 1).max() < error * np.sqrt(2)
    assert np.abs((flat**3).mean(0)).max() < error * np.sqrt(15)
    assert np.abs((flat**4).mean(0) - 3).max() < error * np.sqrt(96)
    assert np.abs(np.corrcoef(flat.T) - np.eye(7)).max() < error
    assert np.abs((flat[1:] * flat[:-1]).mean(0)).max() < error
    again = draw(jax.random.key(0), epochs[3:5], ids[3:5, ::-1], ids[3:5, ::-1], 7)
    np.testing.assert_array_equal(again[:, ::-1], normals[3:5])
    for other in (
        draw(jax.random.key(1), epochs, ids, ids, 7),
        draw(jax.random.key(0), epochs + 1, ids, ids, 7),
    ):
        assert (np.asarray(other) != normals).all()
