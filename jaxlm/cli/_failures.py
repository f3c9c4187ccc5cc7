"""What went wrong, as an exit code and one line."""

import difflib
import dis
import errno
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

FAILED, WRONG, INTERRUPTED, TERMINATED = 1, 2, 130, 143

PACKAGE = str(Path(__file__).parents[1])
RAISE = dis.opmap["RAISE_VARARGS"]
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# What helps where there is no room on disk, or in memory, by command; `score` says it by itself.
GO_ON = {"train": "go on with --resume"}
SMALLER = {
    "train": "lower --run.batch-size, or raise --optimizer.accumulation",
    "evaluate": "lower --batch-size",
    "lm-eval": "lower max_length of --model_args",
}


class UsageError(ValueError):
    """The request was wrong: the message says what was expected, what came, and the remedy."""


def say(program: str, line: str) -> None:
    """Writes `program: line` to stderr, brought to a single line."""
    print(f"{program}: {' '.join(line.split())}", file=sys.stderr, flush=True)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name nearest to `name`; None where none is near.

    Example:
        >>> nearest("evalute", ["train", "evaluate"])
        'evaluate'
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.55)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean X?" for the known name nearest to `name`, or nothing where none is near.

    Example:
        >>> did_you_mean("evalute", ["train", "evaluate"]), did_you_mean("zzz", ["train"])
        ("; did you mean 'evaluate'?", '')
    """
    found = nearest(name, known)
    return f"; did you mean {found!r}?" if found else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that the computer's or a device's memory is exhausted."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def describe(error: Exception, command: str = "") -> tuple[int, str]:
    """Returns the exit code of an error and its line.

    A `ValueError` that this package raised on purpose is a request refused, in words meant for the user (2);
    so is a file that is missing, unreadable or without room on disk. A `RuntimeError` raised on purpose is
    work that failed (1). Anything else nobody foresaw: a failure (1) whose line names where it was raised.

    Args:
        error: what was caught.
        command: whose it is, which decides what helps.

    Returns:
        The exit code and the line.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return WRONG, _describe_os_error(error, command)
    if isinstance(error, (ValueError, RuntimeError, OSError)) and _is_on_purpose(error):
        return FAILED if isinstance(error, RuntimeError) else WRONG, str(error)
    if is_out_of_memory(error):
        return FAILED, f"out of memory: {SMALLER.get(command, 'take less text at once, or a smaller model')}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else text[:297] + "..."
    return FAILED, f"failed{where}: {type(error).__name__}: {text} (JAXLM_TRACEBACK=1 shows the traceback)"


def _describe_os_error(error: OSError, command: str) -> str:
    where = f": {error.filename}" if error.filename is not None else ""
    if error.errno in NO_ROOM:
        return f"no room left on disk{where}; free some, then {GO_ON.get(command, 'call the same again')}"
    return f"{error.strerror or error}{where}"


def _is_on_purpose(error: Exception) -> bool:
    """Whether the error comes from a `raise` of this package, not from a call that failed in it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # By the instruction: the lines of the source need not be there.
    code = None if trace is None else trace.tb_frame.f_code
    is_ours = code is not None and code.co_filename.startswith(PACKAGE)
    return is_ours and code.co_code[trace.tb_lasti] == RAISE
