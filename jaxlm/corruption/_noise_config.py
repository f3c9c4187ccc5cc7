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
    """Which positions noise chooses, and what the chosen tokens become. The default is BERT's masking.

    Attributes:
      rate: the share of an example's allowed positions (or units, see `unit`) to choose, in [0, 1]. None: the
        objective decides, 0.15 if it predicts masked tokens, else 0.
      final_rate: the share at the last step of training, if it changes from `rate` at the first step to
        another one, in a line; held-out text is then corrupted at the final rate. Only for the masks of a
        masked LM with the constant schedule. None: the rate stays.
      schedule: "constant" chooses the share `rate`. Any other name in `SCHEDULES` draws a time s for each
        example and chooses the share `schedule_fraction(schedule, s)` of it; `rate` is ignored then.
      time: the direction of s. "cortex": s = 0 corrupts everything and s = 1 almost nothing; "forward": s = 0
        corrupts almost nothing and s = 1 everything.
      timesteps: the distribution of s. "beta": Beta(`beta_a`, `beta_b`); "uniform": all s in [0, 1] are
        equally likely.
      beta_a: first parameter of the Beta distribution, positive.
      beta_b: second parameter of the Beta distribution, positive.
      count: "exact" chooses max(1, round-half-up(share * n)) of the n units of each example, but none for a
        share of 0; "bernoulli" chooses each unit independently, so that an example may have no chosen unit.
      unit: what is chosen as a whole: a "token"; a "word" (whole-word masking; in scripts without spaces a
        grapheme, or a run of Katakana); or an "instruction" of disassembled code.
      mask_share: share of the chosen positions whose token becomes the mask token.
      random_share: share of the chosen positions whose token becomes a random id, which may be the old one.
      substitute_share: share of the chosen positions whose token becomes another id, as `substitution` says.
      keep_share: share of the chosen positions whose token stays but is to be predicted. The four shares sum
        to 1.
      substitution: "uniform": any other id, all equally likely. "blosum62": a protein residue becomes another
        one as often as in evolution; then only canonical residues are chosen.
      temperature: for "blosum62": above 1 makes the probabilities of residues more like the background, below
        1 sharpens them.
      keep_diagonal: for "blosum62": whether a residue may become itself.
      background: for "blosum62": whether residues are as frequent as in proteins ("standard") or equally
        frequent ("uniform").

    Raises:
      ConfigError: if a share or rate is outside [0, 1], the shares do not sum to 1, a parameter of Beta or
        the temperature is not positive, or a name is not one of those above.

    Example:
      >>> from jaxlm.corruption import NoiseConfig
      >>> NoiseConfig(rate=0.3, mask_share=1.0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: noise.mask_share, random_share, substitute_share and keep_share sum to 1: ...

    References:
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805 (section 3.1).
    """

    rate: float | None = None
    final_rate: float | None = None
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
        if self.final_rate is not None:
            if not 0 <= self.final_rate <= 1:
                raise ConfigError(f"noise.final_rate is a share in [0, 1]: got {self.final_rate}")
            if self.schedule != "constant":
                raise ConfigError(
                    f"noise.final_rate is of schedule='constant': got {self.schedule!r}; leave one out"
                )
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
        """Returns `rate`, which must be known.

        Raises:
          ConfigError: if `rate` is None.
        """
        if self.rate is None:
            raise ConfigError(
                "noise.rate is not given: say the share to choose, e.g. 0.15, or a noise.schedule"
            )
        return self.rate
