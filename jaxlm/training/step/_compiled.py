"""Programs compiled in the background, so that a request to stop does not wait for the compiler."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

# A GPU adds in an order of its own at each run, unless it is told not to; elsewhere this changes nothing.
DETERMINISTIC = {"xla_gpu_deterministic_ops": True}
# Seconds between two looks at whether to go on.
POLL_SECONDS = 0.05


def compile_unless_cancelled(
    cancelled: Callable[[], bool],
    program: Callable[..., Any],
    *arguments: Any,
    options: Mapping[str, bool] | None = None,
) -> Callable[..., Any] | None:
    """Returns a program compiled for arguments; None as soon as it is cancelled.

    The program is traced in the caller's thread, as JAX's settings may be that thread's alone. A compiler
    that is no longer waited for goes on to its end, and what it made is in the cache of compiled programs.

    Args:
      cancelled: asked several times a second while the compiler works.
      program: from `jax.jit` or `jax.pmap`.
      arguments: of the shapes and dtypes that it will be called with; their contents are not read.
      options: of XLA, for this program.

    Example:
      >>> from jaxlm.training.step import compile_unless_cancelled
      >>> import jax
      >>> compile_unless_cancelled(lambda: True, jax.jit(lambda number: number + 1), 1) is None
      True
      >>> int(compile_unless_cancelled(lambda: False, jax.jit(lambda number: number + 1), 1)(1))
      2
    """
    if cancelled():
        return None
    lowered = program.lower(*arguments)
    worker = ThreadPoolExecutor(1, "jaxlm-compiler")
    try:
        compiled = worker.submit(lowered.compile, compiler_options=dict(options or {}))
        while not cancelled():
            if wait([compiled], POLL_SECONDS).done:
                return compiled.result()
        return None
    finally:
        worker.shutdown(wait=False)
