import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import ops

POSITIONS = jnp.array([[0, 1, 5, 11]], jnp.int32)


def test_a_share_of_the_features_turns():
    inputs = jax.random.normal(jax.random.key(0), (1, 4, 2, 8))
    turned = ops.rotate(inputs, ops.make_rotation(POSITIONS, 4, 100.0))
    np.testing.assert_array_equal(turned[..., 4:], inputs[..., 4:])
    np.testing.assert_array_equal(turned[..., :4], ops.rotary(inputs[..., :4], POSITIONS, 100.0))
    assert turned.dtype == inputs.dtype


@pytest.mark.parametrize("kind", ["linear", "llama3", "yarn"])
def test_slow_pairs_are_slowed_in_full_and_fast_ones_left_alone(kind):
    width, base, factor = 64, 1e4, 8.0
    plain = ops.rotary_frequencies(width, base, ops.RotaryScaling())
    scaling = ops.RotaryScaling(kind, factor, length=4096, slow_turns=1.0, fast_turns=32.0)
    speeds = ops.rotary_frequencies(width, base, scaling)
    ratio = plain / speeds
    turns = 4096 * plain / (2 * math.pi)
    np.testing.assert_allclose(ratio[turns < 0.5], factor, rtol=1e-5)
    if kind == "linear":
        np.testing.assert_allclose(ratio, factor, rtol=1e-5)
    else:
        np.testing.assert_allclose(ratio[turns > 64], 1.0, rtol=1e-5)
        assert (np.diff(ratio) >= -1e-5).all()  # the slower a pair, the more it is slowed


def test_llama3_by_hand():
    """Half of the speed kept of a pair that is in the middle of the ramp."""
    speed = 2 * math.pi * 2.5 / 100  # 2.5 turns over 100 positions
    base = speed ** (-4 / 2)
    scaling = ops.RotaryScaling("llama3", 4.0, length=100, slow_turns=1.0, fast_turns=4.0)
    got = ops.rotary_frequencies(4, base, scaling)
    np.testing.assert_allclose(got, [1.0, 0.5 * speed + 0.5 * speed / 4], rtol=1e-6)


def test_a_dynamic_base_grows_with_the_text_alone():
    scaling = ops.RotaryScaling("dynamic", 2.0, length=8)
    plain = ops.make_rotation(POSITIONS, 4, 100.0)
    short = ops.make_rotation(POSITIONS, 4, 100.0, scaling, jnp.full((1, 4), 8, jnp.int32))
    np.testing.assert_allclose(short.cos, plain.cos, rtol=0, atol=1e-6)
    unknown = ops.make_rotation(POSITIONS, 4, 100.0, scaling)
    np.testing.assert_array_equal(unknown.sin, plain.sin)
    # Of a text twice as long: base * (2 * 2 - 1) ** (4 / 2)
    long = ops.make_rotation(POSITIONS, 4, 100.0, scaling, jnp.full((1, 4), 16, jnp.int32))
    expected = ops.make_rotation(POSITIONS, 4, 900.0)
    np.testing.assert_allclose(long.cos, expected.cos, rtol=0, atol=1e-5)


def test_an_amplitude_enlarges_what_is_turned():
    scaling = ops.RotaryScaling("yarn", 4.0, length=8, slow_turns=1.0, fast_turns=32.0)
    turns = ops.make_rotation(POSITIONS, 8, 100.0, scaling)
    grown = np.sqrt(np.square(turns.cos) + np.square(turns.sin))
    np.testing.assert_allclose(grown, 0.1 * math.log(4.0) + 1, rtol=1e-6)
    given = ops.make_rotation(POSITIONS, 8, 100.0, scaling._replace(amplitude=1.0))
    np.testing.assert_allclose(np.square(given.cos) + np.square(given.sin), 1.0, rtol=1e-6)


def test_lengths_are_those_of_the_segments():
    segments = jnp.array([[1, 1, 1, 2, 2, 0, 0]])
    positions = ops.positions_from_segments(segments)
    assert ops.lengths_from_segments(positions, segments)[0, :5].tolist() == [3, 3, 3, 2, 2]
    assert ops.lengths_from_segments(positions, None).tolist() == [[3] * 7]


def test_odd_widths_are_refused():
    with pytest.raises(ValueError, match="got head width 3, use an even one"):
        ops.make_rotation(POSITIONS, 3, 100.0)
