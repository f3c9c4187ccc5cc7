"""The configuration of a sequence head."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from jaxlm import io
from jaxlm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The head of a classifier or a regression: pooling, hidden layers and a final linear map.

    Attributes:
      num_outputs: C, the number of classes or of regressed values. None: not known yet; a model can be built
        only when it is known.
      pooling: how the vectors of a text become one: "mean" over its positions, "attention" (their sum,
        weighted by the softmax of a learned score), "first" (the vector at the first position, [CLS] in
        BERT) or "last" (that at the last position, which has read the whole text in a causal body).
      hidden_layers: number of hidden layers, each a linear map of the body's width and an activation.
      hidden_activation: the activation of the hidden layers; None: the body's.
      hidden_norm: whether the output of each hidden layer is normalised, by the kind of norm that the body
        has.
      output_bias: whether the last linear map has a bias.
      pooled_norm: whether the pooled features are normalised, by the kind of norm that the body has.
      dropout: dropout rate on the pooled features and after each hidden layer, in [0, 1).
      center: the predicted value if the head's output is 0; a regression sets it to the mean of the labels.
      scale: how far the predicted value is above `center` if the head's output is 1; a regression sets it to
        the labels' standard deviation.

    Raises:
      ConfigError: if a value is of the wrong type or out of range.

    Example:
      >>> from jaxlm.models import HeadConfig
      >>> HeadConfig(num_outputs=3, dropout=1.0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: head.dropout lies in [0, 1): got 1.0
    """

    num_outputs: int | None = None
    pooling: Literal["mean", "attention", "first", "last"] = "mean"
    hidden_layers: int = 0
    hidden_activation: Literal["gelu", "gelu_tanh", "relu", "silu", "tanh"] | None = None
    hidden_norm: bool = False
    output_bias: bool = True
    pooled_norm: bool = True
    dropout: float = 0.0
    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        io.check_types(HeadConfig, vars(self), "head.")
        if self.num_outputs is not None and self.num_outputs < 1:
            raise ConfigError(f"head.num_outputs must be positive: got {self.num_outputs}")
        if self.hidden_layers < 0:
            raise ConfigError(f"head.hidden_layers is not negative: got {self.hidden_layers}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"head.dropout lies in [0, 1): got {self.dropout}")
        if not math.isfinite(self.center):
            raise ConfigError(f"head.center is finite: got {self.center}")
        if not 0.0 < self.scale < math.inf:
            raise ConfigError(f"head.scale must be positive: got {self.scale}")

    def required_outputs(self) -> int:
        """Returns `num_outputs`, which must be known.

        Raises:
          ConfigError: if `num_outputs` is None, as no parameters can be made then.
        """
        if self.num_outputs is None:
            raise ConfigError(
                "a sequence head needs num_outputs: got None; set it, or let training take it from the labels"
            )
        return self.num_outputs


def head_from_dict(values: dict[str, Any]) -> HeadConfig:
    """Returns the head config that `dataclasses.asdict` wrote; fields that are left out take their defaults.

    Raises:
      ConfigError: if a field does not exist (the message names all fields that do), or a value does not fit.

    Example:
      >>> from jaxlm.models import head_from_dict
      >>> head_from_dict({"classes": 3})
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: head has no field 'classes'; its fields are num_outputs, pooling, ...
    """
    return io.record_from_dict(HeadConfig, values, "head")
