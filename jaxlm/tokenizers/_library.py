"""Errors of the tokenizers' library in one form, whichever way its Rust side reports them."""

import contextlib
from collections.abc import Iterator

from jaxlm.errors import ModelError

# What Rust raises where it gives up; no subclass of `Exception`, and in a module that cannot be imported.
PANIC = "PanicException"
LONGEST_MESSAGE = 300


@contextlib.contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Raises what the library reports inside the block as a `ValueError` that begins with `what`.

    It raises a bare `Exception` for what it cannot read. Where it gives up, it raises a panic that no
    `except Exception` catches, and writes a line of its own to stderr, which cannot be kept off there while
    other threads write to it.

    Args:
      what: the library was asked for, as "the tokenizer cannot read this text".

    Raises:
      ModelError: one line.

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
        told = " ".join(str(error).split())[:LONGEST_MESSAGE]
        raise ModelError(f"{what}: {told}") from error
