"""What a scored corpus comes to: a table of its summary and a histogram of each column."""

import io
import math
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

COLOUR, MEDIAN = "#4477aa", "#cc3311"
# What says nothing as a histogram where there is something else.
COUNT_PREFIX = "num_"
MOST_DRAWN, ACROSS = 6, 3
STATISTICS = ("mean", "std", "min", "p5", "median", "p95", "max")


def score_table(summary: dict[str, Any], *, base: str = "e") -> Table:
    """Returns how each column of a scored corpus is spread over its documents; columns without a number are
    left out.

    Args:
        summary: from `scoring.run_job`.
        base: of the logarithms, "e" or "2": names the columns' unit.

    Returns:
        A `rich` table, a row a column.

    Example:
        >>> spread = {"count": 2, "missing": 0, "mean": 1.5, "std": 0.5, "min": 1.0, "p5": 1.05,
        ...           "median": 1.5, "p95": 1.95, "max": 2.0}
        >>> table = score_table({"columns": {"perplexity": spread}})
        >>> [str(cell) for column in table.columns for cell in column.cells][:4]
        ['perplexity', '2', '1.500', '0.500']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("a document" if base == "e" else "a document (bits)")
    for heading in ("documents", *STATISTICS):
        table.add_column(heading, justify="right")
    for name, spread in summary["columns"].items():
        if spread["count"]:
            table.add_row(name, f"{spread['count']:,}", *(short_number(spread[one]) for one in STATISTICS))
    return table


def corpus_line(summary: dict[str, Any], *, base: str = "e") -> str:
    """Returns what the whole corpus comes to, pooled over documents, on one line.

    Args:
        summary: from `scoring.run_job`.
        base: "2" says bits a token, "e" nats.

    Example:
        >>> pooled = {"scored": 10, "nats_per_token": 2.0, "perplexity": 7.389}
        >>> corpus_line({"documents": 3, "errors": 1, "corpus": pooled})
        '3 documents, 1 without a score; 10 scored tokens, 2.0000 nats a token, perplexity 7.389'
    """
    failed = f", {summary['errors']:,} without a score" if summary["errors"] else ""
    pooled, said = summary["corpus"], []
    if pooled:
        said.append(f"{pooled['scored']:,} scored tokens")
    if "nats_per_token" in pooled:
        unit, scale = ("bits", math.log(2.0)) if base == "2" else ("nats", 1.0)
        said.append(f"{pooled['nats_per_token'] / scale:.4f} {unit} a token")
    for name in ("perplexity", "word_perplexity", "bits_per_byte"):
        if pooled.get(name) is not None:
            said.append(f"{name.replace('_', ' ')} {short_number(pooled[name])}")
    return f"{summary['documents']:,} documents{failed}" + (f"; {', '.join(said)}" if said else "")


def ranking_table(ranking: dict[str, dict[str, float | int | None]]) -> Table:
    """Returns how well each column ranks what was measured.

    Args:
        ranking: by column, `estimate`, `low`, `high` and `samples` of Spearman's rho; None: not defined.

    Example:
        >>> table = ranking_table({"wt_fill": {"estimate": 0.5, "low": 0.4, "high": 0.6}})
        >>> [str(cell) for column in table.columns for cell in column.cells]
        ['wt_fill', '0.500', '0.400 to 0.600']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("Spearman's rho", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, found in ranking.items():
        rho, low, high = (found[one] for one in ("estimate", "low", "high"))
        interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        table.add_row(name, "" if rho is None else f"{rho:.3f}", interval)
    return table


def histogram_png(summary: dict[str, Any]) -> bytes | None:
    """Returns a picture of the histograms of a scored corpus's columns; None where no number was found.

    Args:
        summary: from `scoring.run_job`.

    Returns:
        A PNG file: the same bytes for the same summary.

    Example:
        >>> histogram_png({"columns": {}}) is None
        True
    """
    from matplotlib.figure import Figure  # imported when drawn: it takes longer than all else here

    spreads = {name: spread for name, spread in summary["columns"].items() if spread["count"]}
    drawn = {name: one for name, one in spreads.items() if not name.startswith(COUNT_PREFIX)} or spreads
    names = list(drawn)[:MOST_DRAWN]
    if not names:
        return None
    across = min(len(names), ACROSS)
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(1 + 3.4 * across, 0.6 + 2.6 * down), dpi=130, layout="constrained")
    for axes, name in zip(figure.subplots(down, across, squeeze=False).flat, names, strict=False):
        _draw(axes, name, drawn[name])
    for axes in figure.axes[len(names) :]:
        axes.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def short_number(value: float | int) -> str:
    """Returns a number in a few characters.

    Example:
        >>> short_number(1234567.0), short_number(12.3456), short_number(0.00012), short_number(7)
        ('1,234,567', '12.346', '1.2e-04', '7')
    """
    if isinstance(value, int) or (abs(value) >= 1e4 and abs(value) < 1e12):
        return f"{value:,.0f}"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e12):
        return f"{value:.1e}"
    return f"{value:.3f}"


def _draw(axes: Any, name: str, spread: dict[str, Any]) -> None:
    counts, edges = spread["histogram"]["counts"], spread["histogram"]["edges"]
    axes.stairs(counts, edges, fill=True, color=COLOUR)
    axes.axvline(
        spread["median"], color=MEDIAN, linewidth=1.2, label=f"median {short_number(spread['median'])}"
    )
    axes.set_xlabel(name.replace("_", " "))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
