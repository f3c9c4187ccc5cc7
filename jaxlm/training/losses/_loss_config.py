"""The configuration of a language model's loss: label smoothing and z-loss."""

import dataclasses
from typing import Literal

from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Label smoothing and z-loss of a language model's training loss; evaluations have neither.

    Attributes:
      label_smoothing: a in `(1 - a) * nll + a * mean over the vocabulary of -log p`, a number in [0, 1).
        "fraction": for each position, a is the share of its example that was to be corrupted.
      z_loss: c in the added term `c * (log of the softmax's denominator)^2`, which keeps logits from
        drifting; 0: the term is not added.

    Raises:
      ConfigError: if a value is out of range.

    Example:
      >>> from jaxlm.training import LossConfig
      >>> LossConfig(label_smoothing=1.5)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: loss.label_smoothing is "fraction" or a number from 0 to below 1: got 1.5

    References:
      Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016,
        https://arxiv.org/abs/1512.00567 (section 7).
      Chowdhery et al., "PaLM", 2022, https://arxiv.org/abs/2204.02311 (section 5, z-loss).
    """

    label_smoothing: float | Literal["fraction"] = 0.0
    z_loss: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, "loss.")
        smoothing = self.label_smoothing
        if smoothing != "fraction" and (isinstance(smoothing, str) or not 0 <= smoothing < 1):
            raise ConfigError(
                f'loss.label_smoothing is "fraction" or a number from 0 to below 1: got {smoothing!r}'
            )
        if not 0 <= self.z_loss < float("inf"):
            raise ConfigError(f"loss.z_loss is finite and not negative: got {self.z_loss}")
