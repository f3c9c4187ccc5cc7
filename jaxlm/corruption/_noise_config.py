"""The settings of noise: how much, in which units, and what the chosen positions become."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxlm.errors import ConfigError
from jaxlm.io import check_types

Schedule = Literal[
    "constant", "linear", "truncated_linear", "piecewise_linear", "cosine", "sqrt", "truncated_cosine"
]
TimeDirection = Literal["cortex", "forward"]
TimestepLaw = Literal["beta", "uniform"]
CountMode = Literal["exact", "bernoulli"]
NoiseUnit = Literal["token", "word", "instruction"]

_SHARES = ("mask_share", "random_share", "substitute_share", "keep_share")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Which positions noise chooses, and what they become. The default is BERT's masking.

    Attributes:
      rate: share of an example's allowed positions (or units) to choose, in [0, 1]. None: the objective
        decides, 0.15 if masked tokens are predicted, else 0.
      schedule: "constant" chooses by `rate`; any other schedule draws a timestep s for each example and
        chooses the fraction `schedule_fraction(schedule, s)` of it; `rate` is ignored then.
      time: "cortex": s = 0 corrupts everything and s = 1 almost nothing; "forward": the reverse.
      timesteps: s is drawn from Beta(`beta_a`, `beta_b`), or "uniform" in [0, 1].
      beta_a: first parameter of Beta, positive.
      beta_b: second parameter of Beta, positive.
      count: "exact" chooses max(1, round-half-up(fraction * n)) of the n units of each example, none for a
        fraction of 0; "bernoulli" chooses each unit independently, so that an example may have none.
      unit: what is chosen as a whole: a "token", a "word" (whole-word masking; in scripts without spaces a
        grapheme, or a run of Katakana), or an "instruction" of a trace.
      mask_share: share of the chosen positions that become the mask id.
      random_share: share that become a random id, which may be the old one.
      substitute_share: share that become another id by `substitution`.
      keep_share: share that keep their id, but count as chosen. The four shares sum to 1.
      substitution: "uniform": any other id, all equally likely; "blosum62": a residue as evolution
        substitutes it, and then only canonical residues are chosen.
      temperature: of "blosum62": above 1 flattens its rows towards the background, below 1 sharpens them.
      keep_diagonal: of "blosum62": whether a residue may become itself.
      background: of "blosum62": residues are as frequent as in proteins ("standard"), or equally ("uniform").

    Raises:
      ConfigError: if a share or rate is outside [0, 1], the shares do not sum to 1, a parameter of Beta or
        the temperature is not positive, or a word is unknown.

    Example:
      >>> from jaxlm.corruption import NoiseConfig
      >>> NoiseConfig(schedule="cosine", mask_share=1.0, random_share=0.0, keep_share=0.0).beta_a
      3.0

    References:
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805 (section 3.1).
    """

    rate: float | None = None
    schedule: Schedule = "constant"
    time: TimeDirection = "cortex"
    timesteps: TimestepLaw = "beta"
    beta_a: float = 3.0
    beta_b: float = 1.0
    count: CountMode = "exact"
    unit: NoiseUnit = "token"
    mask_share: float = 0.8
    random_share: float = 0.1
    substitute_share: float = 0.0
    keep_share: float = 0.1
    substitution: Literal["uniform", "blosum62"] = "uniform"
    temperature: float = 1.0
    keep_diagonal: bool = False
    background: Literal["standard", "uniform"] = "standard"

    def __post_init__(self) -> None:
        check_types(NoiseConfig, vars(self), "noise.")
        for name in _SHARES if self.rate is None else ("rate", *_SHARES):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"noise.{name} is a share in [0, 1]: got {getattr(self, name)}")
        total = sum(getattr(self, name) for name in _SHARES)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ConfigError(
                f"noise.mask_share, random_share, substitute_share and keep_share sum to 1: got {total:g}; "
                "change one"
            )
        for name in ("beta_a", "beta_b", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"noise.{name} is a positive number: got {getattr(self, name)}")

    def required_rate(self) -> float:
        """Returns `rate`.

        Raises:
          ConfigError: if it is None.
        """
        if self.rate is None:
            raise ConfigError(
                "noise.rate is not given: say the share to choose, e.g. 0.15, or a noise.schedule"
            )
        return self.rate
