"""Paths that begin with somebody's home folder."""

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
