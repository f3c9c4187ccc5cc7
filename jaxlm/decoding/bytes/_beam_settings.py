"""The settings of a beam over bytes."""

import math
from dataclasses import dataclass

from jaxlm.decoding import Sampling
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers

TOKENS_UNCHANGED = Sampling()


@dataclass(frozen=True, kw_only=True)
class BeamSettings:
    """How many tokenizations of a text a beam follows, and which it leaves out.

    Attributes:
      num_candidates: how many candidates are kept, K; each is a context of tokens with a token that is not
        finished. With as many as a text has tokenizations the probabilities are exact.
      prune_threshold: candidates and extensions with a smaller share of the probability are left out; 0: none
        are.
      max_extensions: the most contexts that the model reads for a byte; None: as many as candidates.
      reserve: keep, beyond the K, the likeliest candidate whose bytes are a whole token, if none of the K is
        one. If every byte is a token, the beam cannot die.
      heal: if no candidate can be followed by a byte, end a token earlier, as `genlm-bytes` does; one
        candidate is left then.
      heal_max_backoff: how many bytes earlier at most; None: any number.
      heal_max_splits: how many more tokens are ended on the way; None: any number.
      token_sampling: how the model's distribution of the next token is changed, in every context, before
        bytes are made of it; without a repetition penalty. To change that of bytes is another thing.

    Raises:
      ConfigError: if a value is out of range.

    Example:
      >>> from jaxlm.decoding.bytes import BeamSettings
      >>> BeamSettings(num_candidates=5).num_extensions
      5
      >>> BeamSettings(num_candidates=5, prune_threshold=-0.1)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: prune_threshold is a share in [0, 1): got -0.1
    """

    num_candidates: int
    prune_threshold: float = 0.0
    max_extensions: int | None = None
    reserve: bool = True
    heal: bool = True
    heal_max_backoff: int | None = None
    heal_max_splits: int | None = None
    token_sampling: Sampling = TOKENS_UNCHANGED

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("num_candidates", "max_extensions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is at least 1: got {value}")
        for name in ("heal_max_backoff", "heal_max_splits"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"{name} is at least 0: got {value}")
        if not 0 <= self.prune_threshold < 1:
            raise ConfigError(f"prune_threshold is a share in [0, 1): got {self.prune_threshold}")
        if self.token_sampling.checked().repetition_penalty is not None:
            raise ConfigError("a beam has no repetition penalty: its contexts share distributions of tokens")

    @property
    def num_extensions(self) -> int:
        """The most contexts that the model reads for a byte."""
        return self.num_candidates if self.max_extensions is None else self.max_extensions

    @property
    def log_threshold(self) -> float:
        """The log of the threshold; -inf for 0."""
        return math.log(self.prune_threshold) if self.prune_threshold else -math.inf
