"""Rotary positions: the frequency of each pair of features, its scaling for longer texts, the rotation."""

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm.typing import Array, Float, Int

Scaling = Literal["none", "linear", "dynamic", "llama3", "yarn"]


class RotaryScaling(NamedTuple):
    """The scaling of rotary frequencies, for texts longer than those in training.

    Each pair of features is rotated with its own frequency. Let `r` be the number of full turns that a pair
    makes over `length` positions. "linear" divides every frequency by `factor`. "llama3" and "yarn" divide
    the frequencies with `r < slow_turns` by `factor`, keep the frequencies with `r > fast_turns`, and
    interpolate between the two limits: "llama3" linearly in `r`, "yarn" linearly in the number of the pair.
    "dynamic" increases the base of the frequencies with the length of a text beyond `length`.

    Attributes:
      kind: "none", "linear", "dynamic", "llama3" or "yarn".
      factor: how many times longer texts may be than in training. For "dynamic", how fast the base grows with
        the length of a text.
      length: length of the texts in training, in tokens; for "dynamic", length of the longest text that is
        not changed.
      slow_turns: the number of turns below which "llama3" and "yarn" divide a frequency by `factor`.
      fast_turns: the number of turns above which "llama3" and "yarn" keep a frequency.
      rounded: whether the interpolation of "yarn" begins and ends at whole pairs.
      amplitude: the number that cosines and sines, and so all rotated features, are multiplied by. None:
        `0.1 ln(factor) + 1` for "yarn" with a factor above 1, else 1.

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
    """Cosine and sine of the rotation angle of each pair of features at each position.

    Attributes:
      cos: `Float32[B L P]` cosines for P pairs of features, times the scaling's amplitude.
      sin: `Float32[B L P]` sines, times the scaling's amplitude.
    """

    cos: Float[Array, "B L P"]
    sin: Float[Array, "B L P"]


def rotary(
    inputs: Float[Array, "B L N H"], positions: Int[Array, "B L"], base: float = 10000.0
) -> Float[Array, "B L N H"]:
    """Rotates pairs of features by angles proportional to the position.

    The pair of features (h, h + H/2) is rotated by the angle `position * base ** (-2h / H)`, the layout of
    GPT-NeoX and Llama. The product of a rotated query and a rotated key then depends only on the distance
    between their positions. Angles are computed in float32.

    Args:
      inputs: `Float[B L N H]` queries or keys, H even.
      positions: `Int[B L]`, the index of each token in its text.
      base: the base in the formula above; a larger base gives lower frequencies.

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
    """Returns the rotation of `width / 2` pairs of features at each position: cosines and sines.

    Args:
      positions: `Int[B L]`, the index of each token in its text.
      width: number of rotated features, an even number.
      base: pair h is rotated by `position * base ** (-2h / width)`, before scaling.
      scaling: how the frequencies are changed for texts longer than those in training; by default they are
        not.
      lengths: `Int[B L]`, the length of each position's text, which only "dynamic" scaling reads. None: all
        texts count as no longer than `scaling.length`, so that "dynamic" scaling changes nothing.

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
    offsets = positions[:, :, None].astype(jnp.float32)
    if scaling.kind == "dynamic" and lengths is not None:
        angles = offsets * _dynamic_frequencies(width, base, scaling, lengths)
    else:
        angles = offsets * jnp.asarray(rotary_frequencies(width, base, scaling))[None, None, :]
    amplitude = _amplitude(scaling)
    if amplitude == 1.0:
        return Rotation(jnp.cos(angles), jnp.sin(angles))
    return Rotation(amplitude * jnp.cos(angles), amplitude * jnp.sin(angles))


def rotate(inputs: Float[Array, "B L N H"], rotation: Rotation) -> Float[Array, "B L N H"]:
    """Returns the inputs with their first `2 P` features rotated; other features are unchanged.

    Args:
      inputs: `Float[B L N H]`.
      rotation: the cosines and sines of P pairs, `2 P <= H`, from `make_rotation`. Pair h consists of the
        features (h, h + P).

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import make_rotation, rotate
      >>> rotation = make_rotation(jnp.array([[1]]), 2, 10000.0)
      >>> rotate(jnp.array([[[[1.0, 0.0, 7.0]]]]), rotation).round(4).tolist()
      [[[[0.5403..., 0.8414..., 7.0]]]]
    """
    cos, sin = rotation.cos[:, :, None], rotation.sin[:, :, None]
    half = cos.shape[-1]
    first, second = (inputs[..., start : start + half].astype(jnp.float32) for start in (0, half))
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    rotated = rotated.astype(inputs.dtype)
    if 2 * half == inputs.shape[-1]:
        return rotated
    return jnp.concatenate([rotated, inputs[..., 2 * half :]], axis=-1)


def rotary_frequencies(width: int, base: float, scaling: RotaryScaling) -> np.ndarray:
    """Returns each pair's frequency, in radians per position, `Float32[width / 2]` of NumPy.

    Args:
      width: number of rotated features, an even number.
      base: pair h has the frequency `base ** (-2h / width)`, before scaling.
      scaling: how the frequencies are changed; "dynamic" changes nothing here, as it depends on each text's
        length.

    Example:
      >>> from jaxlm.ops import RotaryScaling, rotary_frequencies
      >>> rotary_frequencies(4, 100.0, RotaryScaling("linear", factor=2.0)).tolist()
      [0.5, 0.05000000074505806]
    """
    frequencies = base ** (-np.arange(0, width, 2) / width)
    if scaling.kind == "linear":
        frequencies = frequencies / scaling.factor
    if scaling.kind in ("llama3", "yarn"):
        is_llama = scaling.kind == "llama3"
        ramp = _ramp_by_turns(frequencies, scaling) if is_llama else _ramp_by_pair(width, base, scaling)
        frequencies = ramp * frequencies + (1.0 - ramp) * frequencies / scaling.factor
    return frequencies.astype(np.float32)


def _ramp_by_turns(frequencies: np.ndarray, scaling: RotaryScaling) -> np.ndarray:
    """Returns the weight of each unscaled frequency: from 0 (slow) to 1 (fast), linear in turns between."""
    turns = scaling.length * frequencies / (2 * math.pi)
    slow, fast = scaling.slow_turns, scaling.fast_turns
    return np.clip((turns - slow) / (fast - slow), 0.0, 1.0)


def _ramp_by_pair(width: int, base: float, scaling: RotaryScaling) -> np.ndarray:
    """Returns the weights of `_ramp_by_turns`, but linear in the number of the pair between slow and fast."""

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
