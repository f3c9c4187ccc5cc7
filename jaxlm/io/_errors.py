"""Errors of reading and writing files, from any library, with the system's error number and the file."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from jaxlm.errors import JaxlmError

# The forms in which Python, Rust libraries and tensorstore write the system's error number into a message.
NUMBERS = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)|os_error_code='(\d+)'")


class ReadError(OSError, JaxlmError):
    """A file or a folder that the user named cannot be read or listed.

    Attributes:
      errno: the system's error number, such as `errno.EACCES`. None: a library raised an error without a
        number.
      strerror: the system's message.
      filename: the path of the file or folder.
    """


class WriteError(OSError, JaxlmError):
    """A file or a folder that the user named cannot be written.

    Attributes:
      errno: the system's error number, such as `errno.ENOSPC`.
      strerror: the system's message.
      filename: the path of the file or folder.
    """


@contextlib.contextmanager
def reading_from(path: str | os.PathLike[str]) -> Iterator[None]:
    """A context manager that raises every `OSError` inside its block as a `ReadError`.

    Use it around code that reads a file or folder that the user named. Outside of `reading_from` and
    `writing`, an `OSError` counts as a bug of jaxlm.

    Args:
      path: the path that the user named, for errors that name no file.

    Raises:
      ReadError: the block raises an `OSError` that is not a `JaxlmError` already.

    Example:
      >>> from jaxlm.io import reading_from
      >>> with reading_from("gpt2"):
      ...     open("gpt2/nothing.json")
      Traceback (most recent call last):
      jaxlm.io._errors.ReadError: [Errno 2] No such file or directory: 'gpt2/nothing.json'
    """
    try:
        yield
    except JaxlmError:
        raise
    except OSError as error:
        number, text = error.errno or errno.EIO, error.strerror or " ".join(str(error).split())
        raise ReadError(number, text, str(path if error.filename is None else error.filename)) from error


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """A context manager that raises every error of the disk inside its block as a `WriteError`.

    The `WriteError` names `path`. This matters for a full disk: the system's error does not name the file,
    and libraries raise errors of their own with the system's error number in the message.

    Args:
      path: the path of the file that the block writes. The block should not read files.

    Raises:
      WriteError: the block raises an `OSError`, or another error with the system's error number.

    Example:
      >>> from jaxlm.io import writing
      >>> import errno
      >>> with writing("metrics.jsonl"):
      ...     raise OSError(errno.ENOSPC, "No space left on device")
      Traceback (most recent call last):
      jaxlm.io._errors.WriteError: [Errno 28] No space left on device: 'metrics.jsonl'
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        number = system_errno(error)
        if number is None and not isinstance(error, OSError):
            raise
        text = " ".join(str(error).split()) if number is None else os.strerror(number)
        raise WriteError(number or errno.EIO, text, str(Path(path))) from error


def system_errno(error: BaseException | None) -> int | None:
    """Returns the system's error number of an error or of its cause; None if neither has a number.

    The number is also found in messages of libraries that raise errors of their own.

    Example:
      >>> from jaxlm.io import system_errno
      >>> system_errno(ValueError("OUT_OF_RANGE: Failed to write [os_error_code='27']"))
      27
      >>> system_errno(ValueError("not JSON")) is None
      True
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if not isinstance(error, OSError) and (told := NUMBERS.search(str(error))):
            return int(next(filter(None, told.groups())))
        error = error.__cause__ or error.__context__
    return None
