"""The summary of a scored corpus as a table, a line, and a histogram of each column."""

import io
import math
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

COLOUR, MEDIAN = "#4477aa", "#cc3311"
# Columns of counts are drawn only if there is nothing else.
COUNT_PREFIX = "num_"
MOST_DRAWN, ACROSS = 6, 3
# Columns of the table, by what the summary calls them.
STATISTICS = {"mean": "mean", "median": "median", "5 %": "p5", "95 %": "p95"}


def score_table(summary: dict[str, Any], *, base: str = "e") -> Table:
    """Returns a table of the mean, the median, the 5th and the 95th percentile of each column of scores.

    The statistics are taken over the documents. The table fits into 80 characters. It has a column
    "documents" only if some scores exist for fewer documents than others; columns of scores without any
    number are left out.

    Args:
      summary: the summary of a finished job, `JobFinished.summary` from `scoring.run_job`.
      base: the base of the job's logarithms, "e" (nats) or "2" (bits), by which the unit is named.

    Returns:
      A `rich` table with one row for each column of scores.

    Example:
      >>> from jaxlm import reports
      >>> spread = {"count": 2, "mean": 1.5, "p5": 1.05, "median": 1.5, "p95": 1.95}
      >>> table = reports.score_table({"columns": {"perplexity": spread}})
      >>> [str(cell) for column in table.columns for cell in column.cells]
      ['perplexity', '1.500', '1.500', '1.050', '1.950']
    """
    spreads = {name: spread for name, spread in summary["columns"].items() if spread["count"]}
    has_gaps = len({spread["count"] for spread in spreads.values()}) > 1
    table = Table(box=SIMPLE_HEAD)
    # Names are read whole, and broken over lines where even a terminal's width is not enough.
    table.add_column("a document" if base == "e" else "a document (bits)", overflow="fold")
    for heading in (*STATISTICS, *(["documents"] if has_gaps else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, spread in spreads.items():
        counts = [f"{spread['count']:,}"] if has_gaps else []
        table.add_row(name, *(short_number(spread[key]) for key in STATISTICS.values()), *counts)
    return table


def corpus_line(summary: dict[str, Any], *, base: str = "e") -> str:
    """Returns one line with the totals of the whole corpus, the loss per token or byte and the perplexity.

    Args:
      summary: the summary of a finished job, `JobFinished.summary` from `scoring.run_job`.
      base: the unit of the loss: "2" for bits, "e" for nats.

    Example:
      >>> from jaxlm import reports
      >>> pooled = {"scored": 10, "nats_per_token": 2.0, "perplexity": 7.389}
      >>> reports.corpus_line({"documents": 3, "errors": 1, "corpus": pooled})
      '3 documents, 1 without a score; 10 scored tokens, 2.0000 nats a token, perplexity 7.389'
    """
    failed = f", {summary['errors']:,} without a score" if summary["errors"] else ""
    pooled, facts = summary["corpus"], []
    counted, unit = ("scored_bytes", "byte") if "scored_bytes" in pooled else ("scored", "token")
    if pooled:
        facts.append(f"{pooled[counted]:,} scored {unit}s")
    if f"nats_per_{unit}" in pooled:
        of, scale = ("bits", math.log(2.0)) if base == "2" else ("nats", 1.0)
        facts.append(f"{pooled[f'nats_per_{unit}'] / scale:.4f} {of} a {unit}")
    for name in ("perplexity", "byte_perplexity", "word_perplexity", "bits_per_byte"):
        if pooled.get(name) is not None:
            facts.append(f"{name.replace('_', ' ')} {short_number(pooled[name])}")
    return f"{summary['documents']:,} documents{failed}" + (f"; {', '.join(facts)}" if facts else "")


def ranking_table(ranking: dict[str, dict[str, float | int | None]]) -> Table:
    """Returns a table of how well each column of scores ranks the measured values.

    Args:
      ranking: for each column of scores the `estimate` of Spearman's rho and the limits of its interval,
        `low` and `high`. A number is None where rho is not defined.

    Example:
      >>> from jaxlm import reports
      >>> table = reports.ranking_table({"wt_fill": {"estimate": 0.5, "low": 0.4, "high": 0.6}})
      >>> [str(cell) for column in table.columns for cell in column.cells]
      ['wt_fill', '0.500', '0.400 to 0.600']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("Spearman's rho", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, interval in ranking.items():
        rho, low, high = (interval[key] for key in ("estimate", "low", "high"))
        shown = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        table.add_row(name, "" if rho is None else f"{rho:.3f}", shown)
    return table


def histogram_png(summary: dict[str, Any]) -> bytes | None:
    """Returns a picture of the histograms of a scored corpus's columns; None if no column has a number.

    Args:
      summary: the summary of a finished job, `JobFinished.summary` from `scoring.run_job`.

    Returns:
      The bytes of a PNG file, which are equal for equal summaries; or None.

    Example:
      >>> from jaxlm import reports
      >>> reports.histogram_png({"columns": {}}) is None
      True
    """
    from matplotlib.figure import Figure  # imported when drawn: it takes longer than all else here

    spreads = {name: spread for name, spread in summary["columns"].items() if spread["count"]}
    drawn = {name: spreads[name] for name in spreads if not name.startswith(COUNT_PREFIX)} or spreads
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
      >>> from jaxlm.reports._scores import short_number
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
