"""How much of a text spans take out."""

import dataclasses

from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanConfig:
    """How much of a text is taken out, in spans of what length; see `corrupt_spans`.

    Attributes:
      rate: share of the tokens.
      mean_span: mean length of the spans, at least 1.

    Raises:
      ConfigError: if a value is out of range.

    Example:
      >>> from jaxlm.corruption import SpanConfig
      >>> SpanConfig(rate=0.0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: spans.rate lies between 0 and 1: got 0.0
    """

    rate: float = 0.15
    mean_span: float = 3.0

    def __post_init__(self) -> None:
        check_numbers(self, "spans.")
        if not 0 < self.rate < 1:
            raise ConfigError(f"spans.rate lies between 0 and 1: got {self.rate}")
        if not 1 <= self.mean_span < float("inf"):
            raise ConfigError(f"spans.mean_span is at least 1: got {self.mean_span}")
