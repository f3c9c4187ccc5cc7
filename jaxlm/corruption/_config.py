"""What a masking run may choose."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How much BERT masking corrupts, and what becomes of what it chooses.

    Attributes:
      rate: share of an example's allowed positions to choose, in [0, 1].
      mask_share: share of the chosen positions that become the mask id.
      random_share: share that become a random id.
      keep_share: share that stay as they are, and are predicted all the same. The three sum to 1.
      count: "exact" chooses max(1, round-half-up(rate * n)) of the n allowed positions of each example;
        "bernoulli" chooses each position independently, so that an example may have none.

    Raises:
      ValueError: if a share is outside [0, 1], the shares do not sum to 1, or `count` is unknown.

    Example:
      >>> MaskingConfig(rate=0.3).mask_share
      0.8

    References:
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805 (section 3.1).
    """

    rate: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    keep_share: float = 0.1
    count: Literal["exact", "bernoulli"] = "exact"

    def __post_init__(self) -> None:
        for name in ("rate", "mask_share", "random_share", "keep_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"masking.{name} is a share in [0, 1]: got {getattr(self, name)}")
        total = self.mask_share + self.random_share + self.keep_share
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(
                f"masking.mask_share, random_share and keep_share sum to 1: got {total:g}; change one"
            )
        if self.count not in ("exact", "bernoulli"):
            raise ValueError(f"masking.count is 'exact' or 'bernoulli': got {self.count!r}")
