"""Paths that begin with somebody's home folder, and the folder of what can be made again."""

import os
from pathlib import Path

from jaxlm.errors import UsageError


def expand_home(path: str | os.PathLike[str], what: str) -> Path:
    """Returns a path whose `~` or `~user` is the home folder that it stands for.

    Args:
      path: as a user wrote it.
      what: where, for the message: "JAXLM_CACHE".

    Raises:
      UsageError: if there is no such user, or nobody's home is known.

    Example:
      >>> from jaxlm.io import expand_home
      >>> str(expand_home("/data/x", "JAXLM_CACHE"))
      '/data/x'
      >>> expand_home("~nobody-of-that-name/x", "JAXLM_CACHE")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: JAXLM_CACHE: no home folder for '~nobody-of-that-name/x'; write the whole path
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{what}: no home folder for {str(path)!r}; write the whole path") from None


def cache_root() -> Path:
    """Returns the folder of what can be made again: `$JAXLM_CACHE`, else the user's cache folder.

    Returns:
      `$JAXLM_CACHE` if set, else `jaxlm` in `$XDG_CACHE_HOME` or `~/.cache`; it need not exist yet.

    Raises:
      UsageError: if it lies in the home folder of nobody.

    Example:
      >>> from jaxlm.io import cache_root
      >>> cache_root().is_absolute()
      True
    """
    if own := os.environ.get("JAXLM_CACHE"):
        return expand_home(own, "JAXLM_CACHE")
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    place = os.path.join(xdg if os.path.isabs(xdg) else "~/.cache", "jaxlm")
    return expand_home(place, "JAXLM_CACHE")
