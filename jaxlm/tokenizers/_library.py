"""Errors of the tokenizers library in one form, however its Rust code reports them."""

import contextlib
from collections.abc import Iterator

from jaxlm.errors import ModelError

# The name of what Rust raises for a panic: no subclass of `Exception`, in a module that cannot be imported.
PANIC = "PanicException"
LONGEST_MESSAGE = 300


@contextlib.contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Raises an error of the library inside the block as a `ModelError` that begins with `what`.

    The library raises a bare `Exception` for what it cannot read. For a panic it raises something that
    `except Exception` does not catch, and writes a line to stderr, which cannot be suppressed while other
    threads write there.

    Args:
      what: what failed, such as "the tokenizer cannot read this text".

    Raises:
      ModelError: the library reported an error.

    Example:
      >>> from jaxlm.tokenizers._library import library_errors
      >>> with library_errors("not a tokenizer.json"):
      ...     raise Exception("no field model")
      Traceback (most recent call last):
      jaxlm.errors.ModelError: not a tokenizer.json: no field model
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        message = " ".join(str(error).split())[:LONGEST_MESSAGE]
        raise ModelError(f"{what}: {message}") from error
