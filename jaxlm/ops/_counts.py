"""How many of n items a rate selects, in integer arithmetic, so that host and device agree."""

from fractions import Fraction

import numpy as np

from jaxlm.ops._noise import multiply_high
from jaxlm.typing import Array, Int, UInt32

# Rates have at most four decimals: twice the square of the denominator must fit into int32.
_LARGEST_DENOMINATOR = 10_000


def exact_counts(
    num_allowed: np.ndarray | Int[Array, "*shape"], rate: float
) -> np.ndarray | Int[Array, "*shape"]:
    """Returns max(1, round-half-up(rate * n)) for each n of `num_allowed`, and 0 for n = 0 or a rate of 0.

    The rate is taken as the decimal number that it prints as, with at most four places (or a fraction such as
    1 / 3), and all arithmetic is in integers: as floats, 0.145 * 100 is below 14.5 and rounds down.

    Args:
      num_allowed: the numbers n: integers that are not negative, in a NumPy or a JAX array of any shape.
      rate: the share to count, in [0, 1].

    Returns:
      Integers of the shape and dtype of `num_allowed`, in a NumPy or a JAX array as `num_allowed` is.

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
    # At least one where n > 0, none where n = 0.
    return counts.clip(num_allowed.clip(0, 1))


def share_counts(
    num_allowed: np.ndarray | Int[Array, "*shape"], shares: np.ndarray | UInt32[Array, "*shape"]
) -> np.ndarray | Int[Array, "*shape"]:
    """Returns max(1, round-half-up(share * n)) for each n and its share; 0 if n or the share is 0.

    Args:
      num_allowed: the numbers n: integers in [0, 2^31), in a NumPy or a JAX array of any shape.
      shares: the shares in units of 2^-32, `uint32` of the same shape; 2^32 - 1 stands for 1.

    Returns:
      Integers of the shape and dtype of `num_allowed`, in a NumPy or a JAX array as `num_allowed` is.

    Example:
      >>> import numpy as np
      >>> from jaxlm.ops import share_counts
      >>> share_counts(np.array([10, 10, 3, 10]), np.array([2**31, 2**32 - 1, 1, 0], np.uint32)).tolist()
      [5, 10, 1, 0]
    """
    numbers = num_allowed.astype(np.uint32)
    # Rounds half up: the top bit of the product's lower word says whether its fraction is 1/2 or more.
    counts = multiply_high(numbers, shares) + (numbers * shares >> np.uint32(31))
    least = num_allowed.clip(0, 1) * (shares > 0).astype(num_allowed.dtype)
    return counts.astype(num_allowed.dtype).clip(least)
