"""Compilation in a background thread, so that a stop request does not wait for the compiler."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

# Without it, a GPU may add floats in another order at each run; on other platforms it changes nothing.
DETERMINISTIC = {"xla_gpu_deterministic_ops": True}
# Seconds between two checks whether compilation was cancelled.
POLL_SECONDS = 0.05


def compile_unless_cancelled(
    cancelled: Callable[[], bool],
    program: Callable[..., Any],
    *arguments: Any,
    options: Mapping[str, bool] | None = None,
) -> Callable[..., Any] | None:
    """Returns a program compiled for its arguments, or None as soon as it is cancelled.

    The program is traced in the caller's thread, because JAX's settings may be thread-local. After a
    cancellation the compiler finishes in the background, and its result goes to the compilation cache.

    Args:
      cancelled: called several times a second during compilation; True cancels.
      program: from `jax.jit` or `jax.pmap`.
      arguments: with the shapes and dtypes of later calls; their contents are not read.
      options: XLA compiler options.

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
