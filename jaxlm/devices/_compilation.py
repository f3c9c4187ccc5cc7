"""Compiled programs kept on disk between processes."""

import logging
import os
import warnings
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxlm import io

LOG = logging.getLogger(__name__)


def enable_compilation_cache(folder: str | os.PathLike | None = None) -> str | None:
    """Keeps every compiled program on disk, so that the next start of the same work compiles nothing.

    A place that JAX was already told to use (`JAX_COMPILATION_CACHE_DIR`), a folder or a bucket, stays, and
    is left to JAX. Where no folder can be made, a warning says so and programs are compiled at each start.

    Args:
      folder: where; None: `compiled` under jaxlm's cache folder (`$JAXLM_CACHE`, else the user's).

    Returns:
      The place in use; None where there is none.
    """
    known = jax.config.jax_compilation_cache_dir
    place = os.fspath(folder or known or io.cache_root() / "compiled")
    # Of an address, such as gs://bucket, JAX makes what there is to make.
    if "://" not in place and not _can_be_made(Path(place)):
        place = None
    if place != known:
        jax.config.update("jax_compilation_cache_dir", place)
        # JAX looks once, at its first compilation, whether there is a cache.
        compilation_cache.reset_cache()
    # JAX tells of each program that it could not keep, or not read, in two lines of its own.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    # Small programs too: a start is made of some dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return place


def _can_be_made(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        LOG.warning("no cache of compiled programs at %s (%s): each start compiles anew", path, reason)
        return False
    if not os.access(path, os.W_OK | os.X_OK):
        LOG.warning("the cache of compiled programs at %s may not be written: what is new is not kept", path)
    return True
