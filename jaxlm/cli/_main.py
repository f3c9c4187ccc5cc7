"""The entry point: finds the command, runs it, and turns what went wrong into one line and an exit code.

Nothing here imports JAX: a command's file is imported when the command is called.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import jaxlm
from jaxlm.cli._failures import INTERRUPTED, TERMINATED, WRONG, describe, did_you_mean, say

# One row a command: the module that holds `run(arguments) -> int`, its arguments, what it does.
COMMANDS = {
    "train": (
        "jaxlm.cli._train",
        "[EXPERIMENT] [--options]",
        "train a model; no argument: on this Python's bytecode",
    ),
    "fill": ("jaxlm.cli._fill", "MODEL TEXT", "the likeliest tokens at each mask of a text"),
    "next": ("jaxlm.cli._next", "MODEL TEXT", "the likeliest next tokens after a text"),
    "generate": ("jaxlm.cli._generate", "MODEL [TEXT]", "what a model writes after a text"),
    "score": (
        "jaxlm.cli._score",
        "MODEL CORPUS --out DIR",
        "a score a document, resumable: log-likelihood and others",
    ),
    "evaluate": ("jaxlm.cli._evaluate", "MODEL [CORPUS]", "held-out loss, perplexity and accuracy"),
    "lm-eval": ("jaxlm.cli._lm_eval", "...", "lm-evaluation-harness, with the model jaxlm"),
    "convert": ("jaxlm.cli._convert", "MODEL OUT", "a run as a Hugging Face folder, or the other way round"),
    "info": ("jaxlm.cli._info", "MODEL", "what a model's folder holds"),
}

# The accelerator runtime's start-up chatter is not for the user; whoever wants it sets these before.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR", "ABSL_MIN_LOG_LEVEL": "2"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0 done; 1 the work failed; 2 the request was wrong; 130 interrupted; 143 terminated. Results go to stdout,
    progress and the one line that says what went wrong to stderr. With `JAXLM_TRACEBACK=1` an error shows
    where it was raised.

    Args:
        arguments: what follows `jaxlm`; None: those of this process.

    Returns:
        The exit code.

    Example:
        >>> main(["--version"])
        jaxlm 0.1.0
        0
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else None
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name in ("-V", "--version"):
        print(f"jaxlm {jaxlm.__version__}")
        return 0
    if name is None:
        print(_help(), file=sys.stderr)
        return WRONG
    if name not in COMMANDS:
        say(
            "jaxlm",
            f"{name!r} is none of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}",
        )
        return WRONG
    return _run(name, arguments[1:])


def _run(name: str, arguments: list[str]) -> int:
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    before = _on_sigterm(_terminate)
    try:
        return importlib.import_module(COMMANDS[name][0]).run(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        say(f"jaxlm {name}", "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read stdout has gone (`| head`): the interpreter must not try to flush to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("JAXLM_TRACEBACK") == "1":
            raise
        code, line = describe(error, name)
        say(f"jaxlm {name}", line)
        return code
    finally:
        _on_sigterm(before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _on_sigterm(action):
    """Sets what SIGTERM does and returns what it did; does nothing off the main thread, where it must not."""
    try:
        return signal.signal(signal.SIGTERM, action)
    except ValueError:
        return None


def _help() -> str:
    rows = [(f"jaxlm {name} {usage}", what) for name, (_, usage, what) in COMMANDS.items()]
    width = max(len(usage) for usage, _ in rows)
    lines = [f"  {usage:<{width}}   {what}" for usage, what in rows]
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
