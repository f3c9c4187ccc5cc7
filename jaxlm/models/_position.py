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
    """Learned embeddings of positions: a table of `offset + max_length` rows.

    Attributes:
      offset: row `offset + p` is the embedding of position p. The first `offset` rows are not used;
        RoBERTa and OPT have 2 of them.

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
    """Rotary positions (RoPE): pairs of features of queries and keys are rotated by angles, see `ops.rotary`.

    Attributes:
      base: base of the frequencies: of W rotated features, pair h is rotated by
        `position * base ** (-2h / W)`.
      window_base: base in the blocks with a sliding window, which then use neither `scaling` nor `amplitude`.
        None: these blocks have the base, scaling and amplitude of the others.
      share: the share of a head's features that are rotated, in (0, 1]; the others come after them and are
        unchanged.
      amplitude: the number that rotated features of queries and keys are multiplied by. None:
        `0.1 ln(factor) + 1` with YaRN scaling of a factor above 1, else 1.
      scaling: how the frequencies are changed for texts longer than in training: `NoScaling`,
        `LinearScaling`, `DynamicScaling`, `Llama3Scaling` or `YarnScaling`; or a name ("none", "linear",
        "dynamic", "llama3", "yarn"), which means the class with its default values.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.

    Example:
      >>> from jaxlm.models import Llama3Scaling, Rotary
      >>> Rotary(base=5e5, scaling=Llama3Scaling(factor=8.0)).scaling.fast_turns
      32.0
      >>> Rotary(scaling="llama3").scaling == Llama3Scaling()
      True

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
      buckets: number of rows of the table; `jaxlm.ops.distance_buckets` maps distances to rows.
      distance: the distance from which on all distances share a row, one for each direction.

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
    """Learned embeddings of the index of a token's instruction, and of the token's index within it.

    They are for texts that are disassembled code, which consists of instructions of several tokens. Each of
    the two tables has `max_length` rows.

    Attributes:
      next_id: id of the token that ends an instruction; None: not known until there is a tokenizer.
      source: whether positions in training are computed from the "clean" ids or from the "corrupted" ids that
        the model reads.

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
