"""The cache of compiled programs on disk."""

import logging
import os
import warnings
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxlm import io

LOG = logging.getLogger(__name__)


def enable_compilation_cache(folder: str | os.PathLike | None = None) -> str | None:
    """Makes JAX keep every compiled program on disk, so that the next process need not compile it.

    If the folder cannot be made, a warning says so, and each process compiles its programs.

    Args:
      folder: the folder of the cache. None: the cache that JAX is already configured to use
        (`JAX_COMPILATION_CACHE_DIR`, a folder or a bucket), or, if there is none, the folder `compiled` in
        jaxlm's cache folder (`io.cache_root()`).

    Returns:
      The path or URL of the cache that is in use; None if no cache could be set up.
    """
    configured = jax.config.jax_compilation_cache_dir
    path = os.fspath(folder or configured or io.cache_root() / "compiled")
    # For a URL such as gs://bucket, JAX makes the folders.
    if "://" not in path and not _can_be_made(Path(path)):
        path = None
    if path != configured:
        jax.config.update("jax_compilation_cache_dir", path)
        # JAX looks for the cache only once, at its first compilation.
        compilation_cache.reset_cache()
    # JAX warns, in two lines, of each program that it could not keep or read.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    # Small programs are kept too, because a start compiles some dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path


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
