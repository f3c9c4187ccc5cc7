"""The parts of a config that have options of their own: the output head and the decoder of two sides."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxlm.models._record_checks import check_limits, check_record

GATED = ("swiglu", "geglu", "geglu_tanh")
Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu", "geglu_tanh"]
# What no model has: as much would be built layer by layer before anything could be read.
MAX_LAYERS = 10_000


@dataclass(frozen=True, kw_only=True)
class TransformHead:
    """The output of a language model begins with a linear map, an activation and a norm.

    Attributes:
      activation: the activation; None: the config's.
      epsilon: of the norm; None: the config's `norm_epsilon`.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.
    """

    kind: ClassVar[str] = "transform"
    activation: Activation | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        check_record(self, "head.", positive=("epsilon",))


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """The output of a language model has nothing before its kernel."""

    kind: ClassVar[str] = "linear"


Head = TransformHead | LinearHead
HeadName = Literal["transform", "linear"]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """What of an encoder-decoder's decoder is not as in its encoder.

    Attributes:
      depth: number of blocks; None: the encoder's `depth`.
      mlp_width: F; None: the encoder's `mlp_width`.
      start_id: id of the token that the decoder reads first; None until the tokenizer is known.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.
    """

    depth: int | None = None
    mlp_width: int | None = None
    start_id: int | None = None

    def __post_init__(self) -> None:
        check_record(self, "decoder.", positive=("depth", "mlp_width"))
        check_limits(self, {"depth": MAX_LAYERS}, "decoder.")
