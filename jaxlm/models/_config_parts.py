"""Records of a config: the output head, and the decoder of an encoder-decoder."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxlm.models._record_checks import check_limits, check_record

GATED = ("swiglu", "geglu", "geglu_tanh")
Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu", "geglu_tanh"]
# A limit far above any model's depth: a config from a file must not make us build layers without end.
MAX_LAYERS = 10_000


@dataclass(frozen=True, kw_only=True)
class TransformHead:
    """A language model's head with a linear map, an activation and a norm before the output kernel.

    Attributes:
      activation: name of the activation function; None: the config's `activation`.
      epsilon: epsilon of the norm; None: the config's `norm_epsilon`.

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
    """Config of a language model's head: no layers before the output kernel."""

    kind: ClassVar[str] = "linear"


Head = TransformHead | LinearHead
"""The layers of a language model's head before its output kernel."""
HeadName = Literal["transform", "linear"]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The fields in which an encoder-decoder's decoder differs from its encoder.

    Attributes:
      depth: number of blocks of the decoder; None: as many as the encoder has.
      mlp_width: F, features of the hidden layer of the feed-forward; None: the encoder's `mlp_width`.
      start_id: id of the first token that the decoder reads; None: not known until there is a tokenizer.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.
    """

    depth: int | None = None
    mlp_width: int | None = None
    start_id: int | None = None

    def __post_init__(self) -> None:
        check_record(self, "decoder.", positive=("depth", "mlp_width"))
        check_limits(self, {"depth": MAX_LAYERS}, "decoder.")
