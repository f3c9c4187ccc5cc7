"""Where output goes: tables to stdout without cutting them, durations in words."""

import sys

from rich.console import Console, RenderableType

# Wide enough that a log or a pipe gets every table whole.
UNLIMITED = 10_000
# Without a terminal whoever waits is told at least this often.
LINE_SECONDS = 30.0


def show(table: RenderableType) -> None:
    """Prints a table to stdout: as wide as the terminal, and whole where stdout is none."""
    console = Console(file=sys.stdout, markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, markup=False, highlight=False, width=UNLIMITED)
    console.print(table)


def duration(seconds: float | int) -> str:
    """Returns a duration to two units.

    Example:
        >>> duration(7.3), duration(125), duration(7380)
        ('7 s', '2 min 05 s', '2 h 03 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
