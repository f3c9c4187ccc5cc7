"""Scalings of rotary frequencies for texts longer than in training: a record for each."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxlm import ops
from jaxlm.errors import ConfigError
from jaxlm.models._record_checks import check_record, named_record


@dataclass(frozen=True, kw_only=True)
class NoScaling:
    """Config of rotary positions without scaling: every pair of features keeps its frequency."""

    kind: ClassVar[str] = "none"


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Every frequency is divided by one factor (position interpolation).

    Attributes:
      factor: how many times longer texts may be than in training; 1 changes nothing.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.
    """

    kind: ClassVar[str] = "linear"
    factor: float = 1.0

    def __post_init__(self) -> None:
        check_record(self, "position.scaling.", positive=("factor",))


@dataclass(frozen=True, kw_only=True)
class DynamicScaling:
    """The base grows with the length of a text beyond `length`; shorter texts are not changed.

    Attributes:
      factor: how fast the base grows with the length of a text; it is multiplied by a power of
        `factor * text / length - (factor - 1)`.
      length: length in tokens of the longest text whose rotation is not changed; None: the config's
        `max_length`.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.
    """

    kind: ClassVar[str] = "dynamic"
    factor: float = 1.0
    length: int | None = None

    def __post_init__(self) -> None:
        check_record(self, "position.scaling.", positive=("factor", "length"))


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """Low frequencies are divided by `factor`, high ones are kept; others are interpolated.

    The interpolation is linear in the number of full turns that a pair of features makes over `length`
    positions.

    Attributes:
      factor: how many times longer texts may be than in training.
      length: length of the texts in training, in tokens; None: the config's `max_length`.
      slow_turns: a frequency that makes fewer full turns than this over `length` positions is divided by
        `factor`.
      fast_turns: a frequency that makes more full turns than this over `length` positions is kept.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.

    References:
      The Llama team, "The Llama 3 Herd of Models", 2024, https://arxiv.org/abs/2407.21783.
    """

    kind: ClassVar[str] = "llama3"
    factor: float = 1.0
    length: int | None = None
    slow_turns: float = 1.0
    fast_turns: float = 32.0

    def __post_init__(self) -> None:
        check_record(self, "position.scaling.", positive=("factor", "length", "slow_turns", "fast_turns"))
        _check_turns(self.slow_turns, self.fast_turns)


@dataclass(frozen=True, kw_only=True)
class YarnScaling:
    """YaRN: low frequencies are divided by `factor`, high ones are kept, and rotated features are scaled.

    Frequencies between low and high ones are interpolated linearly in the number of the pair. Rotated
    features are multiplied by `Rotary.amplitude`.

    Attributes:
      factor: how many times longer texts may be than in training.
      length: length of the texts in training, in tokens; None: the config's `max_length`.
      slow_turns: a frequency that makes fewer full turns than this over `length` positions is divided by
        `factor`.
      fast_turns: a frequency that makes more full turns than this over `length` positions is kept.
      rounded: whether the interpolation between slow and fast frequencies begins and ends at whole pairs.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.

    References:
      Peng et al., "YaRN", 2023, https://arxiv.org/abs/2309.00071.
    """

    kind: ClassVar[str] = "yarn"
    factor: float = 1.0
    length: int | None = None
    slow_turns: float = 1.0
    fast_turns: float = 32.0
    rounded: bool = True

    def __post_init__(self) -> None:
        check_record(self, "position.scaling.", positive=("factor", "length", "slow_turns", "fast_turns"))
        _check_turns(self.slow_turns, self.fast_turns)


RotaryScalingConfig = NoScaling | LinearScaling | DynamicScaling | Llama3Scaling | YarnScaling
"""A scaling of rotary frequencies: one of its records."""
ScalingName = Literal["none", "linear", "dynamic", "llama3", "yarn"]


def to_rotary_scaling(
    scaling: RotaryScalingConfig | ScalingName, amplitude: float | None
) -> ops.RotaryScaling:
    """Returns the scaling of a resolved config as `ops.make_rotation` takes it.

    Args:
      scaling: the record, or its name for the record with its defaults.
      amplitude: factor of the rotated features; None: the scaling's own.

    Example:
      >>> from jaxlm.models import DynamicScaling
      >>> from jaxlm.models._rotary_scaling import to_rotary_scaling
      >>> to_rotary_scaling(DynamicScaling(factor=2.0, length=64), None).length
      64
    """
    record = named_record(RotaryScalingConfig, scaling, "position.scaling")
    return ops.RotaryScaling(record.kind, amplitude=amplitude, **vars(record))


def _check_turns(slow: float, fast: float) -> None:
    if fast <= slow:
        raise ConfigError(
            "position.scaling.fast_turns must be above slow_turns: between them the scaling goes from all to "
            f"none; got fast_turns={fast}, slow_turns={slow}"
        )
