"""Command-line options from typed dataclasses; every mistake becomes one line."""

import contextlib
import io
import re
import traceback
from collections.abc import Sequence
from typing import TypeVar

import tyro

from jaxlm.cli._arguments import asks_for_help, known_options, read_arguments
from jaxlm.cli._failures import UsageError
from jaxlm.cli._record_options import flat_options, flat_value, nested_from_flat
from jaxlm.errors import ConfigError

Options = TypeVar("Options")

# Tyro's messages about missing arguments, rephrased; it never sees a wrong value.
REPHRASED = (
    (r"Error parsing [^:]*: ", ""),
    (r"Missing from .*?: (\S+) .*", r"\1 is missing"),
    (r"Missing value for argument '(.+?)'\. Expected (\d+) values?\.", r"\1 needs a value"),
)


def parse(
    kind: type[Options], arguments: Sequence[str], *, program: str, default: Options | None = None
) -> Options:
    """Returns an instance of `kind` with the values of the command line.

    Args:
      kind: a dataclass; its docstring is the help text.
      arguments: what follows the command, in the syntax of `read_arguments`.
      program: the command, as the help shows it: "jaxlm fill".
      default: an instance with the values of options that are not given; None: the dataclass's defaults.

    Returns:
      The instance.

    Raises:
      UsageError: if an argument is unknown, wrong, missing or too many, or the dataclasses refuse a
        combination of values.
      SystemExit: with code 0, after `--help` has printed the help.
    """
    flat = flat_options(kind)
    given = {} if default is None else {"default": flat_value(default)}
    if asks_for_help(arguments):
        tyro.cli(flat, args=["--help"], prog=program, **given)
    asked = read_arguments(arguments, known_options(kind), program=program)
    args = asked.as_list()
    printed = io.StringIO()
    try:
        # Both streams are redirected: tyro looks at stdout to choose colours and line drawing.
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            options, unknown = tyro.cli(flat, args=args, prog=program, return_unknown_args=True, **given)
    except SystemExit as stop:
        raise UsageError(_refusal(stop) or f"{one_line(printed.getvalue())}; see {program} --help") from None
    if unknown:
        raise UsageError(f"unexpected argument {_first_word(unknown)!r}; see {program} --help")
    try:
        return nested_from_flat(kind, options, asked.given, default)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def one_line(box: str) -> str:
    """Returns the message inside one of tyro's boxes, in words for a user.

    Horizontal lines divide a box into title, message and help text.

    Example:
      >>> from jaxlm.cli._options import one_line
      >>> one_line("Value error\\n--------\\nError parsing --a:\\nwide is not deep.\\n--------\\nhelp")
      'wide is not deep.'
    """
    blocks: list[list[str]] = [[]]
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
    """Returns the whole message of the dataclass that refused its values; None if none did."""
    error: BaseException | None = stop
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ValueError) and any(frame.name == "__post_init__" for frame in frames):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _first_word(unknown: Sequence[str]) -> str:
    return next((word for word in unknown if word != "--"), unknown[0])
