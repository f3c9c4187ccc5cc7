"""How many of n a rate means, in integers, so that host and device agree."""

from fractions import Fraction

import numpy as np

from jaxlm.ops._noise import multiply_high
from jaxlm.typing import Array, Int, UInt32

# Twice its square stays within int32, so the device's arithmetic is exact; rates keep four decimals.
_LARGEST_DENOMINATOR = 10_000


def exact_counts(
    num_allowed: np.ndarray | Int[Array, "*shape"], rate: float
) -> np.ndarray | Int[Array, "*shape"]:
    """Returns max(1, round-half-up(rate * n)) for each n of `num_allowed`, and 0 for n = 0 or a rate of 0.

    The rate is taken as the decimal that it prints as, at most four places (or a fraction of that size,
    such as 1 / 3), and all arithmetic is in integers: a float product would put 0.145 * 100 under a half.

    Args:
      num_allowed: integers, not negative, of any shape: a NumPy or a JAX array.
      rate: in [0, 1].

    Returns:
      Integers of the same kind, shape and dtype.

    Raises:
      ValueError: if `rate` is outside [0, 1].

    Example:
      >>> import numpy as np
      >>> from jaxlm.ops import exact_counts
      >>> exact_counts(np.array([0, 1, 9, 10, 100]), 0.15).tolist()
      [0, 1, 1, 2, 15]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate is a share in [0, 1]: got {rate}")
    share = Fraction(repr(float(rate))).limit_denominator(_LARGEST_DENOMINATOR)
    if rate == 0:
        return num_allowed * 0
    p, q = share.numerator, share.denominator
    wholes, rest = num_allowed // q, num_allowed % q
    counts = wholes * p + (rest * (2 * p) + q) // (2 * q)
    # A floor of one where there is anything, of none where there is nothing.
    return counts.clip(num_allowed.clip(0, 1))


def share_counts(
    num_allowed: np.ndarray | Int[Array, "*shape"], shares: np.ndarray | UInt32[Array, "*shape"]
) -> np.ndarray | Int[Array, "*shape"]:
    """Returns what `exact_counts` does, with a rate for each n: max(1, round-half-up(share * n)), 0 for a
    share of 0.

    Args:
      num_allowed: integers in [0, 2^31), of any shape.
      shares: the rates in units of 2^-32, of the same shape; 2^32 - 1 stands for everything.

    Returns:
      Integers of the same kind, shape and dtype as `num_allowed`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.ops import share_counts
      >>> share_counts(np.array([10, 10, 3, 10]), np.array([2**31, 2**32 - 1, 1, 0], np.uint32)).tolist()
      [5, 10, 1, 0]
    """
    numbers = num_allowed.astype(np.uint32)
    # Half of the unit rounds up: the product's lower word decides by its top bit.
    counts = multiply_high(numbers, shares) + (numbers * shares >> np.uint32(31))
    least = num_allowed.clip(0, 1) * (shares > 0).astype(num_allowed.dtype)
    return counts.astype(num_allowed.dtype).clip(least)
