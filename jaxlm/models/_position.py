"""Position encodings: a record for each, with its options."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxlm.errors import ConfigError
from jaxlm.models._record_checks import check_limits, check_record, named_record
from jaxlm.models._rotary_scaling import (
    DynamicScaling,
    Llama3Scaling,
    RotaryScalingConfig,
    ScalingName,
    YarnScaling,
)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Learned embeddings of positions: a table of `max_length` rows.

    Attributes:
      offset: rows of the table before the row of position 0.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.
    """

    kind: ClassVar[str] = "learned"
    offset: int = 0

    def __post_init__(self) -> None:
        check_record(self, "position.")
        if self.offset < 0:
            raise ConfigError(f"position.offset must not be negative: got {self.offset}")


@dataclass(frozen=True, kw_only=True)
class Sinusoidal:
    """Fixed embeddings of positions: sines and cosines, a table of `max_length` rows."""

    kind: ClassVar[str] = "sinusoidal"


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary positions (RoPE): pairs of features of queries and keys are rotated by the position.

    Attributes:
      base: base of the geometric series of frequencies.
      window_base: base in blocks with a window, where no scaling is applied; None: as in other blocks.
      share: share of a head's features that are rotated, the first ones.
      amplitude: factor of the rotated features; None: `0.1 ln(factor) + 1` with YaRN scaling, else 1.
      scaling: of the frequencies, for longer texts: `NoScaling`, `LinearScaling`, `DynamicScaling`,
        `Llama3Scaling` or `YarnScaling`; or its name, for the record with its defaults.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.

    Example:
      >>> from jaxlm.models import Rotary
      >>> Rotary(base=5e5, scaling="linear")
      Rotary(base=500000.0, window_base=None, share=1.0, amplitude=None, scaling=LinearScaling(factor=1.0))

    References:
      Su et al., "RoFormer", 2021, https://arxiv.org/abs/2104.09864.
    """

    kind: ClassVar[str] = "rotary"
    base: float = 10000.0
    window_base: float | None = None
    share: float = 1.0
    amplitude: float | None = None
    scaling: RotaryScalingConfig | ScalingName = "none"

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "scaling", named_record(RotaryScalingConfig, self.scaling, "position.scaling")
        )
        check_record(self, "position.", positive=("base", "window_base", "share", "amplitude"))


@dataclass(frozen=True, kw_only=True)
class Relative:
    """Relative positions as in T5: a learned bias of the scores by distance, one table for all blocks.

    Attributes:
      buckets: rows of the table; see `jaxlm.ops.distance_buckets`.
      distance: all distances from this one on share a bucket, one for each direction.

    Raises:
      ConfigError: if a value is of the wrong type or out of range, or the two fields contradict each other.
    """

    kind: ClassVar[str] = "relative"
    buckets: int = 32
    distance: int = 128

    def __post_init__(self) -> None:
        check_record(self, "position.", positive=("buckets", "distance"))
        check_limits(self, {"buckets": 1 << 24, "distance": 1 << 24}, "position.")
        if self.buckets < 4:
            raise ConfigError(
                "position.buckets divides two directions into short and long distances: "
                f"got {self.buckets}, use 4 or more"
            )
        if self.distance <= self.buckets // 2:
            raise ConfigError(
                "position.distance lies beyond the distances that have a bucket of their own: "
                f"got {self.distance} with position.buckets={self.buckets}; raise it"
            )


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """Learned embeddings of a token's instruction and of its place within it: two tables.

    Each has `max_length` rows.

    Attributes:
      next_id: id of the token that ends an instruction; None until the tokenizer is known.
      source: whether positions in training come from the "clean" ids or from the "corrupted" ones that the
        model reads.

    Raises:
      ConfigError: if a value is of the wrong type.
    """

    kind: ClassVar[str] = "instruction"
    next_id: int | None = None
    source: Literal["clean", "corrupted"] = "clean"

    def __post_init__(self) -> None:
        check_record(self, "position.")


@dataclass(frozen=True, kw_only=True)
class NoPosition:
    """No position encoding: only the attention mask depends on positions."""

    kind: ClassVar[str] = "none"


Position = Learned | Sinusoidal | Rotary | Relative | Instruction | NoPosition
"""A position encoding: one of its records."""
PositionName = Literal["learned", "sinusoidal", "rotary", "relative", "instruction", "none"]
# Position encodings with a table of `max_length` rows, which limits the length of a text.
TABLE_POSITIONS = (Learned, Sinusoidal, Instruction)


def resolved_position(position: Position | PositionName, max_length: int) -> Position:
    """Returns a config's position as a record, with the `length` of its scaling filled in.

    Example:
      >>> from jaxlm.models import Rotary
      >>> from jaxlm.models._position import resolved_position
      >>> resolved_position(Rotary(scaling="dynamic"), 64).scaling
      DynamicScaling(factor=1.0, length=64)
    """
    if isinstance(position, str):
        return named_record(Position, position, "position")
    if not isinstance(position, Rotary):
        return position
    scaling = position.scaling
    if not isinstance(scaling, DynamicScaling | Llama3Scaling | YarnScaling) or scaling.length is not None:
        return position
    return dataclasses.replace(position, scaling=dataclasses.replace(scaling, length=max_length))
