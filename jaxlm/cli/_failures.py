"""The exit code and the line that an error becomes."""

import codecs
import contextlib
import difflib
import errno
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from jaxlm import io
from jaxlm.errors import JaxlmError, WorkError

# Re-exported: commands take the class and the functions that print errors from one place.
from jaxlm.errors import UsageError as UsageError

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130

PACKAGE = str(Path(__file__).parents[1])
# Errors of a path that the request names, which are the request's mistake; all others are work that failed.
PATH_ERRNOS = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
# The system lacks a resource: neither jaxlm's mistake nor the request's.
RESOURCE_ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
)
# Why a file cannot be written, and the remedy, by the system's error number.
REMEDIES = {
    errno.ENOSPC: ("no room left on disk: {path}", "free some"),
    errno.EDQUOT: ("no room left on disk: {path}", "free some"),
    errno.EFBIG: ("{path} is larger than a file may be here", "raise the limit (ulimit -f)"),
    errno.EROFS: ("{path} is on a file system that is read-only", "make it writable, or name another folder"),
    errno.EACCES: ("{path} may not be written (permission denied)", "allow it, or name another folder"),
    errno.EPERM: ("{path} may not be written (not permitted)", "allow it, or name another folder"),
    errno.EIO: ("{path} cannot be written, the disk reports an input/output error", "look after the disk"),
    errno.ENOENT: ("{path} cannot be written, its folder is gone", "bring it back, or name another folder"),
}
RERUN_HINT = "run the same command again"
# What is saved already, and how each command goes on, after a failed write or a lack of memory.
RESUME_HINTS = {
    "train": ("", "go on with --resume"),
    "score": ("the parts that are written stay: ", "the same command goes on"),
    "predict": ("the parts that are written stay: ", "the same command goes on"),
    "embed": ("the parts that are written stay: ", "the same command goes on"),
}
MEMORY_HINTS = {
    "train": "lower --run.batch-size, or raise --optimizer.accumulation",
    "evaluate": "lower --batch-size",
    "score": "lower --rows, --row-length or --tile",
    "embed": "lower --rows or --row-length",
    "predict": "lower --rows or --row-length",
    "attribute": "lower --memory",
    "lm-eval": "lower max_length of --model_args",
}
LONGEST_LINE, LONGEST_WORD = 2000, 300


def say(program: str, line: str) -> None:
    """Writes `program: line` to stderr, brought to a single line that can be read."""
    # If stderr is closed or full, nobody can be told.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"{program}: {shorten_line(line)}", file=sys.stderr, flush=True)


def shorten_line(line: str) -> str:
    """Returns a text on one line, without the middle of a word or a line that is too long to be read.

    Example:
      >>> from jaxlm.cli._failures import shorten_line
      >>> shorten_line("two\\nlines"), len(shorten_line("a tensor called " + "x" * 70_000))
      ('two lines', 316)
    """
    words = [_cut(word, LONGEST_WORD) for word in line.split()]
    return _cut(" ".join(words), LONGEST_LINE)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = (longest - 3) // 3
    return f"{text[: longest - 3 - end]}...{text[-end:]}"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is most similar to `name`; None if none is similar.

    Args:
      name: a name that is not known.
      known: the known names.

    Example:
      >>> from jaxlm.cli._failures import nearest_name
      >>> nearest_name("evalute", ["train", "evaluate"])
      'evaluate'
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.55)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean X?" with the known name most similar to `name`; "" if none is similar.

    Args:
      name: a name that is not known.
      known: the known names.

    Example:
      >>> from jaxlm.cli._failures import did_you_mean
      >>> did_you_mean("evalute", ["train", "evaluate"]), did_you_mean("zzz", ["train"])
      ("; did you mean 'evaluate'?", '')
    """
    similar = nearest_name(name, known)
    return f"; did you mean {similar!r}?" if similar else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error means that the memory of the computer or a device is exhausted."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def exit_code_and_line(error: Exception, command: str = "") -> tuple[int, str]:
    """Returns the exit code of an error and the line that is printed for it.

    The class of the error decides:

    - 2 for a `JaxlmError`, a refused request, whose message is meant for the user; and for an `io.ReadError`
      or `io.WriteError` of a path that is missing or impossible.
    - 1 for a `WorkError`, and for a file that cannot be read or written because the disk is full or broken or
      permission is missing.
    - 1 for every other error, which is a bug of jaxlm, an `OSError` that no door has turned into a
      `JaxlmError` included. The line names the file and the line that raised it.

    Args:
      error: the caught error.
      command: the command, which decides the remedy.

    Returns:
      The exit code and the line.
    """
    if isinstance(error, OSError) and (
        error.errno in RESOURCE_ERRNOS or (isinstance(error, JaxlmError) and error.errno)
    ):
        return _describe_os_error(error, command)
    if isinstance(error, (WorkError, io.WriteError)):
        return FAILED, str(error)
    if isinstance(error, JaxlmError):
        return USAGE_ERROR, str(error)
    if isinstance(error, UnicodeEncodeError) and _is_of_output(error):
        letter = f"{error.object[error.start]!a}"
        return FAILED, f"stdout is {error.encoding} and cannot write {letter}: set PYTHONIOENCODING=utf-8"
    if is_out_of_memory(error):
        return (
            FAILED,
            f"out of memory: {MEMORY_HINTS.get(command, 'read less text at once, or take a smaller model')}",
        )
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    # For an error in a library, the line of jaxlm that called it is named, too.
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    if ours and ours[-1] is not frames[-1]:
        where += f", called at {Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}"
    text = _cut(" ".join(str(error).split()), 300)
    line = f"failed{where}, a bug: {type(error).__name__}: {text}"
    return FAILED, f"{line} (JAXLM_TRACEBACK=1 shows the traceback)"


def _is_of_output(error: UnicodeEncodeError) -> bool:
    """Returns whether it is the encoding of stdout or stderr that lacks the character."""
    names = {getattr(stream, "encoding", None) or "" for stream in (sys.stdout, sys.stderr)}
    known = {codecs.lookup(name).name for name in names if name} - {"utf-8"}
    return codecs.lookup(error.encoding).name in known


def _describe_os_error(error: OSError, command: str) -> tuple[int, str]:
    is_written = isinstance(error, io.WriteError)
    saved, again = RESUME_HINTS.get(command, ("", RERUN_HINT))
    # A command that knows a better hint has added it as a note.
    again = getattr(error, "__notes__", [again])[0]
    # These error numbers come from writing alone.
    if is_written or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        path = error.filename
        unknown = (f"{{path}} cannot be written ({error.strerror})", "")
        reason, remedy = unknown if error.errno is None else REMEDIES.get(error.errno, unknown)
        # A write without a path is one into an open file, mostly stdout.
        line = reason.format(path=path) if path else reason.replace(": {path}", "").format(path="a file")
        code = USAGE_ERROR if error.errno in PATH_ERRNOS and error.errno != errno.ENOENT else FAILED
        return code, f"{line}; {saved}{remedy and f'{remedy}, then '}{again}"
    where = f": {error.filename}" if error.filename is not None else ""
    return USAGE_ERROR if error.errno in PATH_ERRNOS else FAILED, f"{error.strerror or error}{where}"
