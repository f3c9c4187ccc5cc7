"""The entry point: finds the command, runs it, and turns an error into one line and an exit code.

Nothing here imports JAX: a command's file is imported when the command is called.
"""

import contextlib
import errno
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper

import jaxlm
from jaxlm import io
from jaxlm.cli._failures import (
    FAILED,
    INTERRUPTED,
    RESUME_HINTS,
    USAGE_ERROR,
    did_you_mean,
    exit_code_and_line,
    say,
)
from jaxlm.cli._signals import describe_command, exit_if_signalled, watch_signals

LOGGER = logging.getLogger("jaxlm")

# A row a command: the module with `run(arguments) -> int`, its arguments, what it does.
COMMANDS = {
    "train": (
        "jaxlm.cli._train",
        "[EXPERIMENT] [--options]",
        "train a model; no argument: on this Python's bytecode",
    ),
    "fill": ("jaxlm.cli._fill", "MODEL TEXT", "the likeliest tokens at each mask of a text"),
    "next": ("jaxlm.cli._next", "MODEL TEXT", "the likeliest next tokens or bytes after a text"),
    "generate": ("jaxlm.cli._generate", "MODEL [TEXT]", "the continuation of a text, by tokens or bytes"),
    "score": (
        "jaxlm.cli._score",
        "MODEL CORPUS --out DIR",
        "a score for each document, resumable: log-likelihood and others",
    ),
    "embed": (
        "jaxlm.cli._embed",
        "MODEL TEXT|CORPUS --out DIR",
        "a vector for each document or token, resumable",
    ),
    "predict": (
        "jaxlm.cli._predict",
        "MODEL TEXT|CORPUS",
        "the class of each text and its probability, or its value",
    ),
    "attribute": ("jaxlm.cli._attribute", "MODEL TEXT", "how much each token moved each prediction"),
    "evaluate": (
        "jaxlm.cli._evaluate",
        "MODEL [CORPUS]",
        "held-out loss, perplexity and accuracy; of bytes, models compared",
    ),
    "lm-eval": ("jaxlm.cli._lm_eval", "...", "lm-evaluation-harness, with the model jaxlm"),
    "convert": ("jaxlm.cli._convert", "MODEL OUT", "a run as a Hugging Face folder, or the other way round"),
    "info": ("jaxlm.cli._info", "MODEL", "the contents of a model's folder"),
}

# Silences the accelerator runtime's messages at the start, unless the user has set these.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR", "ABSL_MIN_LOG_LEVEL": "2"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    The codes: 0 done; 1 the work failed; 2 the request was wrong; 130 interrupted; 143 terminated. Results go
    to stdout, progress and the line of an error to stderr. With `JAXLM_TRACEBACK=1` an error shows its
    traceback.

    Args:
      arguments: what follows `jaxlm`; None: those of this process.

    Returns:
      The exit code.

    Example:
      >>> from jaxlm.cli import main
      >>> main(["--version"])
      jaxlm 0.1.0
      0
    """
    if arguments is None:
        watch_signals()
        _write_every_letter()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else ""
    program = f"jaxlm {name}" if name in COMMANDS else "jaxlm"
    saved, again = RESUME_HINTS.get(name, ("", ""))
    describe_command(program, f"; {saved}{again}" if saved else "")
    with _warnings_printed(program):
        code = _guarded(program, name, arguments[1:])
    # A signal that came together with the last result still decides the exit code.
    exit_if_signalled()
    return code


def _write_every_letter() -> None:
    """Makes stdout and stderr escape letters that their encoding lacks, for which Python would raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _guarded(program: str, name: str, arguments: list[str]) -> int:
    """Runs the command; turns any error into an exit code and one line."""
    try:
        code = _run(program, name, arguments)
        with io.writing("the standard output"):
            sys.stdout.flush()
        return code
    except SystemExit as stop:
        if isinstance(stop.code, str):
            say(program, stop.code)
            return FAILED
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        say(program, "interrupted")
        return INTERRUPTED
    except Exception as error:
        exit_if_signalled()
        if _lost_its_reader(error):
            _close_stdout()
            return 0
        if os.environ.get("JAXLM_TRACEBACK") == "1":
            raise
        code, line = exit_code_and_line(error, name)
        say(program, line)
        _close_stdout()
        return code


class _WarningPrinter(logging.Handler):
    """Prints the library's warnings in the style of the command line."""

    def __init__(self, program: str) -> None:
        super().__init__(logging.WARNING)
        self._program = program

    def emit(self, record: logging.LogRecord) -> None:
        # If another handler is attached, as in training, that one shows the warning.
        if LOGGER.handlers == [self]:
            say(self._program, f"warning: {record.getMessage()}")


@contextlib.contextmanager
def _warnings_printed(program: str) -> Iterator[None]:
    printer, before = _WarningPrinter(program), LOGGER.propagate
    LOGGER.addHandler(printer)
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(printer)
        LOGGER.propagate = before


def _run(program: str, name: str, arguments: list[str]) -> int:
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name in ("-V", "--version"):
        print(f"jaxlm {jaxlm.__version__}")
        return 0
    if not name:
        print(_help(), file=sys.stderr)
        return USAGE_ERROR
    if name not in COMMANDS:
        say(program, f"{name!r} is none of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
        return USAGE_ERROR
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    return importlib.import_module(COMMANDS[name][0]).run(arguments)


def _lost_its_reader(error: Exception) -> bool:
    """Returns whether the reader of stdout has gone (`| head`), which is no failure."""
    return isinstance(error, BrokenPipeError) or (
        isinstance(error, io.WriteError) and error.errno == errno.EPIPE
    )


def _close_stdout() -> None:
    """Keeps the interpreter from trying again at its end to write what could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help() -> str:
    rows = [(f"jaxlm {name} {usage}", purpose) for name, (_, usage, purpose) in COMMANDS.items()]
    width = max(len(usage) for usage, _ in rows)
    lines = [f"  {usage:<{width}}   {purpose}" for usage, purpose in rows]
    return "\n".join(
        [
            "usage: jaxlm COMMAND ...",
            "",
            "Train language models and use them.",
            "",
            *lines,
            "",
            "  jaxlm COMMAND --help    its options        jaxlm --version",
            "",
            "MODEL is a run folder that `jaxlm train` wrote, a Hugging Face folder, or a name on its hub.",
        ]
    )
