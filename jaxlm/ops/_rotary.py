"""Rotary positions: how fast each pair of features turns, scaled for longer texts, and the turn itself."""

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm.typing import Array, Float, Int

Scaling = Literal["none", "linear", "dynamic", "llama3", "yarn"]


class RotaryScaling(NamedTuple):
    """How turns are slowed so that a model reads longer texts than it was trained on.

    With `r` the turns that a pair makes over `length` positions: "linear" slows every pair by `factor`;
    "llama3" and "yarn" slow the pairs of `r < slow_turns`, leave those of `r > fast_turns` and go from one to
    the other between them, "llama3" linearly in `r`, "yarn" linearly in the pair's number; "dynamic" enlarges
    the base with a text that is longer than `length`.

    Attributes:
      kind: which of these, or "none".
      factor: how much longer texts may be.
      length: that of the texts the model was trained on; of "dynamic" that up to which nothing changes.
      slow_turns: see above.
      fast_turns: see above.
      rounded: whether "yarn" takes whole pairs as the ends of its ramp.
      amplitude: factor of the turned features; None: of "yarn" `0.1 ln(factor) + 1`, else 1.

    References:
      Chen et al., "Extending Context Window of Large Language Models via Positional Interpolation", 2023,
        https://arxiv.org/abs/2306.15595 (linear).
      Peng et al., "YaRN", 2023, https://arxiv.org/abs/2309.00071 (section 3).
      Dubey et al., "The Llama 3 Herd of Models", 2024, https://arxiv.org/abs/2407.21783 (section 3.4.2).
    """

    kind: Scaling = "none"
    factor: float = 1.0
    length: int = 0
    slow_turns: float = 1.0
    fast_turns: float = 32.0
    rounded: bool = True
    amplitude: float | None = None


UNSCALED = RotaryScaling()


class Rotation(NamedTuple):
    """Cosine and sine of every pair's angle at every position.

    Attributes:
      cos: `Float32[B L P]`, of P pairs.
      sin: `Float32[B L P]`.
    """

    cos: Float[Array, "B L P"]
    sin: Float[Array, "B L P"]


def rotary(
    inputs: Float[Array, "B L N H"], positions: Int[Array, "B L"], base: float = 10000.0
) -> Float[Array, "B L N H"]:
    """Rotates pairs of features by an angle that grows with the position.

    The pair (h, h + H/2) turns by `position * base ** (-2h / H)`, the layout of GPT-NeoX and Llama; the
    product of a rotated query with a rotated key then depends on the distance of their positions only. Angles
    are computed in float32.

    Args:
      inputs: `Float[B L N H]` queries or keys, H even.
      positions: `Int[B L]` offsets.
      base: the slowest turn's scale.

    Returns:
      `Float[B L N H]` in the dtype of `inputs`.

    Raises:
      ValueError: if H is odd.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import rotary
      >>> rotary(jnp.array([[[[1.0, 0.0]]]]), jnp.array([[1]])).round(4)  # (cos 1, sin 1)
      Array([[[[0.5403, 0.8415]]]], dtype=float32)

    References:
      Su et al., "RoFormer", 2021, https://arxiv.org/abs/2104.09864 (section 3.2).
    """
    return rotate(inputs, make_rotation(positions, inputs.shape[-1], base))


def make_rotation(
    positions: Int[Array, "B L"],
    width: int,
    base: float,
    scaling: RotaryScaling = UNSCALED,
    lengths: Int[Array, "B L"] | None = None,
) -> Rotation:
    """Returns the turns of `width / 2` pairs at every position.

    Args:
      positions: `Int[B L]` offsets.
      width: how many features turn, an even number.
      base: the slowest turn's scale.
      scaling: see `RotaryScaling`.
      lengths: `Int[B L]`, of "dynamic": how long the text of each position is; None: not longer than
        `scaling.length`.

    Raises:
      ValueError: if the width is odd.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import make_rotation
      >>> make_rotation(jnp.array([[0, 1]]), 2, 10000.0).cos.round(4).tolist()
      [[[1.0], [0.5403...]]]
    """
    if width % 2:
        raise ValueError(f"rotary positions turn pairs of features: got head width {width}, use an even one")
    places = positions[:, :, None].astype(jnp.float32)
    if scaling.kind == "dynamic" and lengths is not None:
        angles = places * _dynamic_frequencies(width, base, scaling, lengths)
    else:
        angles = places * jnp.asarray(rotary_frequencies(width, base, scaling))[None, None, :]
    amplitude = _amplitude(scaling)
    if amplitude == 1.0:
        return Rotation(jnp.cos(angles), jnp.sin(angles))
    return Rotation(amplitude * jnp.cos(angles), amplitude * jnp.sin(angles))


def rotate(inputs: Float[Array, "B L N H"], turns: Rotation) -> Float[Array, "B L N H"]:
    """Returns the inputs with their first pairs turned; features beyond those of `turns` stay as they are.

    Args:
      inputs: `Float[B L N H]`.
      turns: of P pairs, `2 P <= H`; the pair h is (h, h + P).

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import make_rotation, rotate
      >>> turns = make_rotation(jnp.array([[1]]), 2, 10000.0)
      >>> rotate(jnp.array([[[[1.0, 0.0, 7.0]]]]), turns).round(4).tolist()
      [[[[0.5403..., 0.8414..., 7.0]]]]
    """
    cos, sin = turns.cos[:, :, None], turns.sin[:, :, None]
    half = cos.shape[-1]
    first, second = (inputs[..., start : start + half].astype(jnp.float32) for start in (0, half))
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    turned = turned.astype(inputs.dtype)
    if 2 * half == inputs.shape[-1]:
        return turned
    return jnp.concatenate([turned, inputs[..., 2 * half :]], axis=-1)


def rotary_frequencies(width: int, base: float, scaling: RotaryScaling) -> np.ndarray:
    """Returns by how much each pair turns from a position to the next, float32 `[width / 2]`.

    Example:
      >>> from jaxlm.ops import RotaryScaling, rotary_frequencies
      >>> rotary_frequencies(4, 100.0, RotaryScaling("linear", factor=2.0)).tolist()
      [0.5, 0.05000000074505806]
    """
    speeds = base ** (-np.arange(0, width, 2) / width)
    if scaling.kind == "linear":
        speeds = speeds / scaling.factor
    if scaling.kind in ("llama3", "yarn"):
        kept = _ramp_by_turns(speeds, scaling) if scaling.kind == "llama3" else _kept(width, base, scaling)
        speeds = kept * speeds + (1.0 - kept) * speeds / scaling.factor
    return speeds.astype(np.float32)


def _ramp_by_turns(speeds: np.ndarray, scaling: RotaryScaling) -> np.ndarray:
    """How much of its speed each pair keeps: none of the slow, all of the fast, linear in turns between."""
    turns = scaling.length * speeds / (2 * math.pi)
    slow, fast = scaling.slow_turns, scaling.fast_turns
    return np.clip((turns - slow) / (fast - slow), 0.0, 1.0)


def _kept(width: int, base: float, scaling: RotaryScaling) -> np.ndarray:
    """The same, linear in the pair's number."""

    def pair_of(turns: float) -> float:
        return width * math.log(scaling.length / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_of(scaling.fast_turns), pair_of(scaling.slow_turns)
    if scaling.rounded:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high = high if high != low else high + 0.001  # a step, not a division by zero
    return 1.0 - np.clip((np.arange(width // 2) - low) / (high - low), 0.0, 1.0)


def _dynamic_frequencies(width: int, base: float, scaling: RotaryScaling, lengths: Array) -> Array:
    longer = jnp.maximum(lengths, scaling.length).astype(jnp.float32) / scaling.length
    growth = scaling.factor * longer - (scaling.factor - 1.0)
    # base * growth ** (width / (width - 2)), to the power of -2h / width
    log_base = math.log(base) + jnp.log(growth) * (width / (width - 2))
    exponents = -jnp.arange(0, width, 2, dtype=jnp.float32) / width
    return jnp.exp(log_base[:, :, None] * exponents[None, None, :])


def _amplitude(scaling: RotaryScaling) -> float:
    if scaling.amplitude is not None:
        return scaling.amplitude
    return 0.1 * math.log(scaling.factor) + 1.0 if scaling.kind == "yarn" and scaling.factor > 1 else 1.0
