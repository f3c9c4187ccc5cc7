import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops

# (tokens, instruction indices, argument indices), the end-of-instruction token being 0
INSTRUCTION_TABLE = [
    ([[1, 2, 0, 3, 0, 4, 5]], [[0, 0, 0, 1, 1, 2, 2]], [[0, 1, 2, 0, 1, 0, 1]]),
    ([[1, 2, 3, 4]], [[0, 0, 0, 0]], [[0, 1, 2, 3]]),  # no end: one instruction
    ([[0, 1, 2]], [[0, 1, 1]], [[0, 0, 1]]),  # an end that stands first is an instruction of its own
    (
        [[1, 0, 2], [3, 4, 0]],
        [[0, 0, 1], [0, 0, 0]],
        [[0, 1, 0], [0, 1, 2]],
    ),  # rows do not leak into each other
]


@pytest.mark.parametrize(("tokens", "instructions", "arguments"), INSTRUCTION_TABLE)
def test_instruction_index_table(tokens, instructions, arguments):
    indices = ops.instruction_positions(jnp.array(tokens), None, 0)
    np.testing.assert_array_equal(indices[..., 0], instructions)
    np.testing.assert_array_equal(indices[..., 1], arguments)


def test_masking_the_end_merges_instructions():
    clean, masked = jnp.array([[10, 11, 5, 12, 13, 5, 14]]), jnp.array([[10, 11, 4, 12, 13, 5, 14]])
    np.testing.assert_array_equal(ops.instruction_positions(clean, None, 5)[0, :, 0], [0, 0, 0, 1, 1, 1, 2])
    merged = ops.instruction_positions(masked, None, 5)
    np.testing.assert_array_equal(merged[0, :, 0], [0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(merged[0, :, 1], [0, 1, 2, 3, 4, 5, 0])


def slow_instruction_positions(tokens, segments, next_id):
    indices = np.zeros((*tokens.shape, 2), np.int32)
    for row in range(tokens.shape[0]):
        for place in range(tokens.shape[1]):
            begins = place == 0 or segments[row, place] != segments[row, place - 1]
            if begins or segments[row, place] == 0:
                continue
            instruction, argument = indices[row, place - 1]
            ended = tokens[row, place - 1] == next_id
            indices[row, place] = (instruction + 1, 0) if ended else (instruction, argument + 1)
    return indices


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_packed_rows_equal_the_definition(data):
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    ids = data.draw(st.lists(st.integers(0, 3), min_size=len(lengths), max_size=len(lengths)))
    ids = [
        piece + 4 * place if piece else 0 for place, piece in enumerate(ids)
    ]  # neighbours differ, except padding
    segments = np.zeros((1, 16), np.int32)  # one length, compiled once
    segments[0, : sum(lengths)] = np.repeat(ids, lengths)
    tokens = np.array([data.draw(st.lists(st.integers(0, 3), min_size=16, max_size=16))], np.int32)
    got = ops.instruction_positions(jnp.asarray(tokens), jnp.asarray(segments), 0)
    np.testing.assert_array_equal(got, slow_instruction_positions(tokens, segments, 0))


def test_positions_restart_in_every_segment():
    segments = jnp.array([[1, 1, 2, 3, 3, 3, 0, 0], [0, 7, 7, 0, 9, 9, 9, 9]])
    expected = [[0, 1, 0, 0, 1, 2, 0, 0], [0, 0, 1, 0, 0, 1, 2, 3]]
    np.testing.assert_array_equal(ops.positions_from_segments(segments), expected)


def test_rotary_turns_pairs_as_complex_numbers():
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 3, 8))
    positions = jnp.array([[0, 1, 2, 3, 4], [9, 100, 0, 511, 2]])
    got = np.asarray(jax.jit(ops.rotary, static_argnames="base")(inputs, positions, base=500.0))
    pairs = np.asarray(inputs[..., :4], np.float64) + 1j * np.asarray(inputs[..., 4:], np.float64)
    angles = np.asarray(positions)[:, :, None, None] * 500.0 ** (-np.arange(4) * 2 / 8)
    turned = pairs * np.exp(1j * angles)
    # float32 angles: 511 radians are known to 3e-5.
    np.testing.assert_allclose(got, np.concatenate([turned.real, turned.imag], -1), atol=2e-4)


def test_rotary_products_depend_on_distance_only():
    query, key = jax.random.normal(jax.random.key(1), (2, 1, 1, 1, 16))

    def product(first, second):
        return jnp.vdot(ops.rotary(query, jnp.array([[first]])), ops.rotary(key, jnp.array([[second]])))

    # float32 sums of 16 products of angles up to 30 radians
    np.testing.assert_allclose(product(7, 3), product(30, 26), atol=1e-4)
    assert abs(product(7, 3) - product(7, 4)) > 1e-2


def test_rotary_at_the_start_is_the_identity_and_keeps_the_dtype():
    inputs = jax.random.normal(jax.random.key(2), (1, 2, 1, 4), jnp.bfloat16)
    turned = ops.rotary(inputs, jnp.zeros((1, 2), jnp.int32))
    assert turned.dtype == jnp.bfloat16
    np.testing.assert_array_equal(turned.astype(jnp.float32), inputs.astype(jnp.float32))


def test_rotary_refuses_an_odd_head_width():
    with pytest.raises(ValueError, match="head width 3"):
        ops.rotary(jnp.ones((1, 1, 1, 3)), jnp.zeros((1, 1), jnp.int32))


def test_rotary_equals_transformers():
    torch = pytest.importorskip("torch")
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    query = jax.random.normal(jax.random.key(3), (2, 6, 2, 8))
    positions = np.array([[0, 1, 2, 3, 4, 5], [3, 4, 5, 0, 1, 2]], np.int32)
    angles = torch.tensor(positions)[..., None] * torch.tensor(10000.0 ** (-np.arange(0, 8, 2) / 8))
    cos, sin = (torch.cat([turn(angles)] * 2, -1).float() for turn in (torch.cos, torch.sin))
    heads_first = torch.tensor(np.asarray(query)).transpose(1, 2)
    expected, _ = llama.apply_rotary_pos_emb(heads_first, heads_first, cos, sin)
    got = ops.rotary(query, jnp.asarray(positions))
    np.testing.assert_allclose(got, expected.transpose(1, 2).numpy(), atol=1e-5)
