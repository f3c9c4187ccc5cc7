"""How results are printed: tables that are not cut, durations in words, numbers for JSON."""

import math
import sys

from rich.console import Console, RenderableType

# The width of a table that is written into a pipe or a file.
UNLIMITED = 10_000
# The width of a line that is to be read whole on the narrowest usual terminal.
LINE_WIDTH = 80
# Where no terminal shows a bar, a line comes at least this often.
LINE_SECONDS = 30.0


def show(table: RenderableType) -> None:
    """Prints a table to stdout: as wide as the terminal, or whole in a pipe, a file or a notebook."""
    console = Console(file=sys.stdout, markup=False, highlight=False, force_jupyter=False)
    if not console.is_terminal:
        console = Console(
            file=sys.stdout, markup=False, highlight=False, force_jupyter=False, width=UNLIMITED
        )
    console.print(table)


def duration(seconds: float | int) -> str:
    """Returns a duration in its two largest units.

    Example:
      >>> from jaxlm.cli._output import duration
      >>> duration(7.3), duration(125), duration(7380)
      ('7 s', '2 min 05 s', '2 h 03 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def finite_or_none(values: dict[str, float | int]) -> dict[str, float | int | None]:
    """Returns values for JSON, which has no NaN and no infinity: None replaces them.

    Example:
      >>> from jaxlm.cli._output import finite_or_none
      >>> finite_or_none({"loss": 1.5, "unigram": float("nan")})
      {'loss': 1.5, 'unigram': None}
    """
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
