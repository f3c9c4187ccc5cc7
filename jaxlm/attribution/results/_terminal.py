"""Heat maps in a terminal: tokens down, predictions across, in panels as wide as the terminal."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.style import Style
from rich.table import Table
from rich.text import Text

from jaxlm.attribution.results._colours import NUM_LEVELS, colour_level, level_colour
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.attribution.results._heat_map import HeatMap, heat_map, short_value

# Longer tokens are broken over lines.
WIDEST_LABEL, WIDEST_COLUMN = 24, 9
LEGEND_STEP = 4
CONTRAST_LABEL = "compared with"


class TerminalHeatMap:
    """A heat map that `rich` prints, as wide as its console: tables of at most so many predictions.

    Every cell holds its score as a number, so that it is read without colours, too. Below the scores stand
    the step functions' numbers.

    Example:
      >>> import io
      >>> import numpy as np
      >>> from rich.console import Console
      >>> from jaxlm.attribution import Attribution
      >>> from jaxlm.attribution.results._terminal import TerminalHeatMap
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]])
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
      >>> console = Console(file=io.StringIO(), width=80)
      >>> console.print(TerminalHeatMap(result))
      >>> [line.split() for line in console.file.getvalue().splitlines() if "To" in line]
      [['To', '+0.500']]
    """

    def __init__(self, result: AttributionFields) -> None:
        """Makes the heat map.

        Args:
          result: an attribution.
        """
        self._map = heat_map(result)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        """Yields what is printed, for a console of a width."""
        drawn = self._map
        yield Text(drawn.title, style="bold")
        yield _legend(drawn)
        for start, stop in _panels(drawn, options.max_width):
            yield _panel(drawn, start, stop)
        width = max((len(name) for name, _ in drawn.facts), default=0)
        for name, text in drawn.facts:
            # The title has said the method.
            if name not in ("method", "explains", "fingerprint"):
                yield Text(f"{name:<{width}}  {text}", style="dim")


def _label_width(drawn: HeatMap) -> int:
    labels = [label for side in drawn.sides for label in (*side.labels, side.name)]
    labels += [row.label for row in drawn.numbers]
    labels += [CONTRAST_LABEL] if drawn.contrasts is not None else []
    return min(max(map(cell_len, labels), default=1), WIDEST_LABEL)


def _column_widths(drawn: HeatMap) -> list[int]:
    heads = [[column] for column in drawn.columns]
    if drawn.contrasts is not None:
        heads = [[*own, other] for own, other in zip(heads, drawn.contrasts, strict=True)]
    widths = []
    for index, own in enumerate(heads):
        cells = [drawn.shown(score) for side in drawn.sides for score in side.scores[:, index].tolist()]
        cells += [short_value(float(row.values[index])) for row in drawn.numbers]
        head = min(max(map(cell_len, own)), WIDEST_COLUMN)
        widths.append(max([head, *map(len, cells)]))
    return widths


def _panels(drawn: HeatMap, width: int) -> Iterator[tuple[int, int]]:
    """Yields runs of predictions that fit side by side; one at least."""
    left = width - _label_width(drawn) - 2
    start, used = 0, 0
    for index, own in enumerate(_column_widths(drawn)):
        if index > start and used + own + 2 > left:
            yield start, index
            start, used = index, 0
        used += own + 2
    if start < len(drawn.columns):
        yield start, len(drawn.columns)


def _panel(drawn: HeatMap, start: int, stop: int) -> Table:
    """A table of some of the predictions, with the tokens that one of them sees."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold", width=_label_width(drawn))
    widths = _column_widths(drawn)
    for index in range(start, stop):
        head = Text(drawn.columns[index], overflow="fold")
        table.add_column(head, justify="right", width=widths[index] + 1, overflow="fold")
    if drawn.contrasts is not None:
        table.add_row(Text(CONTRAST_LABEL), *map(Text, drawn.contrasts[start:stop]), end_section=True)
    for side in drawn.sides:
        if side.name:
            table.add_row(Text(side.name, style="italic"))
        seen = np.flatnonzero(~np.isnan(side.scores[:, start:stop]).all(1))
        for index in range(int(seen[-1]) + 1 if seen.size else 0):
            scores = side.scores[index, start:stop].tolist()
            table.add_row(Text(side.labels[index]), *(_cell(drawn, score) for score in scores))
        table.add_section()
    for row in drawn.numbers:
        table.add_row(Text(row.label), *_number_cells(row.values[start:stop].tolist()))
    return table


def _cell(drawn: HeatMap, score: float) -> Text:
    shown = drawn.shown(score)
    return Text(shown, style=_style(drawn, score)) if shown else Text("")


def _number_cells(values: Sequence[float]) -> list[Text]:
    return [Text(short_value(value)) for value in values]


def _style(drawn: HeatMap, score: float) -> Style:
    colour = level_colour(colour_level(score, drawn.limit), is_signed=drawn.is_signed)
    return Style(color=colour.text, bgcolor=colour.background)


def _legend(drawn: HeatMap) -> Text:
    """The scale with its ends: colours from the lowest to the highest score."""
    levels = range(-NUM_LEVELS if drawn.is_signed else 0, NUM_LEVELS + 1, LEGEND_STEP)
    low = drawn.shown(-drawn.limit) if drawn.is_signed else "0"
    power = f", times 1e{drawn.exponent}" if drawn.exponent else ""
    legend = Text(f"{low} ")
    for level in levels:
        colour = level_colour(level, is_signed=drawn.is_signed)
        legend.append("  ", Style(color=colour.text, bgcolor=colour.background))
    legend.append(f" {drawn.shown(drawn.limit)}{power}; empty: not seen")
    return legend
