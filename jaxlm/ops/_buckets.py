"""Sizes that many calls share, so that each compiles once."""


def bucket(size: int, smallest: int = 1) -> int:
    """Returns the power of two to which a size is padded, so that sizes in between share one compilation.

    Example:
      >>> from jaxlm.ops import bucket
      >>> bucket(5), bucket(8), bucket(3, smallest=16)
      (8, 8, 16)
    """
    return max(smallest, 1 << (size - 1).bit_length())


def fine_bucket(size: int, smallest: int = 16) -> int:
    """Returns the size rounded up to a quarter of its power of two: four sizes an octave.

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

    For what is called at every size, and costs little beside its compilation while it is small.

    Example:
      >>> from jaxlm.ops import coarse_bucket
      >>> [coarse_bucket(size) for size in (1, 2, 17, 65, 300)]
      [1, 16, 64, 256, 512]
    """
    return next((step for step in (1, 16, 64, 256) if size <= step), bucket(size))
