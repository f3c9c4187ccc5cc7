"""What went wrong, as an exit code and one line."""

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

# Commands take it from here, with what else they need to say what is wrong.
from jaxlm.errors import UsageError as UsageError

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130

PACKAGE = str(Path(__file__).parents[1])
# What a request may be wrong about, of the files that it names; all else about them is work that failed.
PATH_ERRNOS = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
# What the system may lack, whatever it was asked for: no mistake of jaxlm, nor of the request.
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
# What to do about a file that cannot be written, by the system's number.
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
RERUN_HINT = "call the same again"
# What is there already, and how each command goes on, after a write that failed or a lack of memory.
RESUME_HINTS = {
    "train": ("", "go on with --resume"),
    "score": ("the parts that are written stay: ", "the same command goes on"),
}
MEMORY_HINTS = {
    "train": "lower --run.batch-size, or raise --optimizer.accumulation",
    "evaluate": "lower --batch-size",
    "score": "lower --rows, --row-length or --tile",
    "lm-eval": "lower max_length of --model_args",
}
LONGEST_LINE, LONGEST_WORD = 2000, 300


def say(program: str, line: str) -> None:
    """Writes `program: line` to stderr, brought to a single line that can be read."""
    # Where stderr is closed or full there is nobody to be told.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"{program}: {shorten_line(line)}", file=sys.stderr, flush=True)


def shorten_line(line: str) -> str:
    """Returns a text on a line, without the middle of words and of lines that nobody would read to their end.

    Example:
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
    """Returns the known name nearest to `name`; None where none is near.

    Example:
      >>> nearest_name("evalute", ["train", "evaluate"])
      'evaluate'
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.55)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean X?" for the known name nearest to `name`, or nothing where none is near.

    Example:
      >>> did_you_mean("evalute", ["train", "evaluate"]), did_you_mean("zzz", ["train"])
      ("; did you mean 'evaluate'?", '')
    """
    found = nearest_name(name, known)
    return f"; did you mean {found!r}?" if found else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that the computer's or a device's memory is exhausted."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def exit_code_and_line(error: Exception, command: str = "") -> tuple[int, str]:
    """Returns the exit code of an error and its line.

    The class alone decides. A `JaxlmError` is a request refused, in words meant for the user (2); so is an
    `io.ReadError` or `io.WriteError` of a path that is missing or cannot be. A file that cannot be written or
    read, for want of room, of permission or of a disk that works, and a `WorkError`, are work that failed
    (1). Every other error is a bug of jaxlm, an `OSError` that no door has told about among them: a failure
    (1) whose line names the file and the line that raised it.

    Args:
      error: what was caught.
      command: whose it is, which decides what helps.

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
        told = f"the standard output is {error.encoding} and cannot write {error.object[error.start]!a}"
        return FAILED, f"{told}: set PYTHONIOENCODING=utf-8"
    if is_out_of_memory(error):
        return (
            FAILED,
            f"out of memory: {MEMORY_HINTS.get(command, 'take less text at once, or a smaller model')}",
        )
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    # Of a library's error it helps to know which call of ours met it.
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    if ours and ours[-1] is not frames[-1]:
        where += f", called at {Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}"
    text = _cut(" ".join(str(error).split()), 300)
    told = f"failed{where}, a bug: {type(error).__name__}: {text}"
    return FAILED, f"{told} (JAXLM_TRACEBACK=1 shows the traceback)"


def _is_of_output(error: UnicodeEncodeError) -> bool:
    """Whether it is the terminal, or what stands for it, that has no such character."""
    names = {getattr(stream, "encoding", None) or "" for stream in (sys.stdout, sys.stderr)}
    known = {codecs.lookup(name).name for name in names if name} - {"utf-8"}
    return codecs.lookup(error.encoding).name in known


def _describe_os_error(error: OSError, command: str) -> tuple[int, str]:
    is_written = isinstance(error, io.WriteError)
    kept, again = RESUME_HINTS.get(command, ("", RERUN_HINT))
    # Where the command knows better, it has left a note.
    again = getattr(error, "__notes__", [again])[0]
    # Of these, only a write tells.
    if is_written or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        path = error.filename
        what, remedy = REMEDIES.get(error.errno, (f"{{path}} cannot be written ({error.strerror})", ""))
        # A write that knows no name is that of a file already open, which is mostly stdout.
        said = what.format(path=path) if path else what.replace(": {path}", "").format(path="a file")
        code = USAGE_ERROR if error.errno in PATH_ERRNOS and error.errno != errno.ENOENT else FAILED
        return code, f"{said}; {kept}{remedy and f'{remedy}, then '}{again}"
    where = f": {error.filename}" if error.filename is not None else ""
    return USAGE_ERROR if error.errno in PATH_ERRNOS else FAILED, f"{error.strerror or error}{where}"
