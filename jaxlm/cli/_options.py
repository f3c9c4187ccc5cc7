"""Command-line options from typed dataclasses, with every mistake brought to one line."""

import contextlib
import io
import re
import traceback
from collections.abc import Sequence
from typing import TypeVar

import tyro

from jaxlm.cli._arguments import expand_short, option_names
from jaxlm.cli._failures import UsageError, nearest

Options = TypeVar("Options")

# What tyro says, and how it is said here; the rest of its text is passed on.
REPHRASED = (
    (
        r"Error parsing (--\S+): invalid literal for int\(\) with base 10: (.+)",
        r"\1 is a whole number, got \2",
    ),
    (r"Error parsing (--\S+): could not convert string to float: (.+)", r"\1 is a number, got \2"),
    (r"Error parsing [^:]*: ", ""),
    (
        r"invalid choice (.+?) for argument '(.+?)'\. Expected one of \((.+?)\)\.?$",
        r"\2 is one of \3, got \1",
    ),
    (r"Missing value for argument '(.+?)'\. Expected (\d+) values?\.", r"\1 needs a value"),
    (r"Missing from .*?: (\S+) .*", r"\1 is missing"),
)


def parse(
    kind: type[Options], arguments: Sequence[str], *, program: str, default: Options | None = None
) -> Options:
    """Returns `kind` filled from the command line.

    Args:
        kind: a dataclass; its docstring is the help text.
        arguments: what follows the command; an option of a nested dataclass may be given without its prefix
            where no other ends like it.
        program: what the help calls the command, "jaxlm fill".
        default: values of the fields that are not given; None: the dataclass's own.

    Returns:
        An instance of `kind`.

    Raises:
        UsageError: for an unknown option (naming the nearest known one), a missing or ill-typed value, or a
            combination that the dataclasses refuse.
        SystemExit: with code 0 after printing the help that `--help` asks for.
    """
    names = option_names(kind)
    given = {} if default is None else {"default": default}
    if {"-h", "--help"} & set(arguments):
        tyro.cli(kind, args=["--help"], prog=program, **given)
    said = io.StringIO()
    try:
        # Both streams: tyro looks at stdout to decide on colours and line drawing.
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            options, unknown = tyro.cli(
                kind, args=expand_short(arguments, names), prog=program, return_unknown_args=True, **given
            )
    except SystemExit as stop:
        raise UsageError(_refusal(stop) or f"{one_line(said.getvalue())}; see {program} --help") from None
    if unknown:
        raise UsageError(_unknown(unknown[0], list(names), program))
    return options


def one_line(box: str) -> str:
    """Returns the message inside one of tyro's boxes, rephrased where its words are a programmer's.

    Rules divide a box: the title, the message, then help text.

    Example:
        >>> one_line("Value error\\n--------\\nError parsing --a:\\nwide is not deep.\\n--------\\nhelp")
        'wide is not deep.'
    """
    blocks = [[]]
    for line in box.splitlines():
        if re.fullmatch(r"\s*-{4,}\s*", line):
            blocks.append([])
        else:
            blocks[-1].append(line.strip())
    message = " ".join(" ".join(blocks[1] if len(blocks) > 1 else blocks[0]).split())
    for pattern, replacement in REPHRASED:
        message = re.sub(pattern, replacement, message)
    return message


def _refusal(stop: SystemExit) -> str | None:
    """Returns the message of the dataclass that refused its values, whole, which a box would have wrapped."""
    error: BaseException | None = stop
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ValueError) and any(frame.name == "__post_init__" for frame in frames):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _unknown(argument: str, names: list[str], program: str) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}; see {program} --help"
    name = argument.split("=")[0]
    return f"unknown option {name} (see {program} --help){nearest_option(name, names)}"


def nearest_option(name: str, names: list[str]) -> str:
    """Returns "; did you mean --run.steps?" for the option nearest to `name` in full or by its last word.

    Example:
        >>> nearest_option("--stepz", ["--run.steps", "--data.paths"])
        '; did you mean --run.steps?'
    """
    by_word = {"--" + known.removeprefix("--").rpartition(".")[2]: known for known in names}
    words = {**by_word, **{known: known for known in names}}
    found = nearest(name, words)
    return f"; did you mean {words[found]}?" if found else ""
