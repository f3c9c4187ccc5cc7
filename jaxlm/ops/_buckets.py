"""Rounding of array sizes, so that calls of many sizes share few compiled programs."""


def bucket(size: int, smallest: int = 1) -> int:
    """Returns a size rounded up to a power of two.

    Args:
      size: the size to round up, at least 1.
      smallest: the least size that is returned.

    Example:
      >>> from jaxlm.ops import bucket
      >>> bucket(5), bucket(8), bucket(3, smallest=16)
      (8, 8, 16)
    """
    return max(smallest, 1 << (size - 1).bit_length())


def fine_bucket(size: int, smallest: int = 16) -> int:
    """Returns a size rounded up to eighths of the next power of two: there are four sizes per doubling.

    Args:
      size: the size to round up, at least 1.
      smallest: the least size that is returned.

    Example:
      >>> from jaxlm.ops import fine_bucket
      >>> fine_bucket(3), fine_bucket(65), fine_bucket(512), fine_bucket(513)
      (16, 80, 512, 640)
    """
    if size <= smallest:
        return smallest
    step = max(1, bucket(size) // 8)
    return -(-size // step) * step


def coarse_bucket(size: int) -> int:
    """Returns the size rounded up to 1, 16, 64, 256, and from there on a power of two.

    It is meant for functions that are called with many different sizes, and for which computing a few rows
    too many costs less than compiling another size.

    Example:
      >>> from jaxlm.ops import coarse_bucket
      >>> [coarse_bucket(size) for size in (1, 2, 17, 65, 300)]
      [1, 16, 64, 256, 512]
    """
    return next((step for step in (1, 16, 64, 256) if size <= step), bucket(size))
