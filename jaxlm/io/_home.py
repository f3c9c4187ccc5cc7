"""Home folders in paths, and jaxlm's cache folder."""

import os
from pathlib import Path

from jaxlm.errors import UsageError


def expand_home(path: str | os.PathLike[str], what: str) -> Path:
    """Returns a path with `~` or `~user` replaced by the home folder.

    Args:
      path: the path as the user wrote it.
      what: the name of the setting that holds the path, for the error message, such as "JAXLM_CACHE".

    Raises:
      UsageError: there is no such user, or the home folder is unknown.

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
    """Returns jaxlm's cache folder, whose files can be removed and are then made again.

    Returns:
      `$JAXLM_CACHE` if that variable is set, else the folder `jaxlm` in `$XDG_CACHE_HOME` or `~/.cache`. The
      folder need not exist yet.

    Raises:
      UsageError: the path depends on the user's home folder, which is unknown.

    Example:
      >>> from jaxlm.io import cache_root
      >>> cache_root().is_absolute()
      True
    """
    if own := os.environ.get("JAXLM_CACHE"):
        return expand_home(own, "JAXLM_CACHE")
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    path = os.path.join(xdg if os.path.isabs(xdg) else "~/.cache", "jaxlm")
    return expand_home(path, "JAXLM_CACHE")
