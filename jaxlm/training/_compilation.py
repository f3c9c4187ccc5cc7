"""Compiled programs kept on disk between processes."""

import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxlm import data


def enable_compilation_cache(folder: str | os.PathLike | None = None) -> Path:
    """Keeps every compiled program on disk, so that the next start of the same work compiles nothing.

    A folder that JAX was already told to use (`JAX_COMPILATION_CACHE_DIR`) stays.

    Args:
      folder: where; None: `compiled` under jaxlm's cache folder (`$JAXLM_CACHE`, else the user's).

    Returns:
      The folder in use.
    """
    known = jax.config.jax_compilation_cache_dir
    path = Path(folder or known or data.cache_root() / "compiled")
    path.mkdir(parents=True, exist_ok=True)
    if str(path) != known:
        jax.config.update("jax_compilation_cache_dir", str(path))
        # JAX looks once, at its first compilation, whether there is a cache.
        compilation_cache.reset_cache()
    # Small programs too: a start is made of some dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path
