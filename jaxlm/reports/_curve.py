"""The learning curve of a run, from its metrics."""

import os
from pathlib import Path
from typing import Any

from jaxlm import io
from jaxlm.errors import UsageError

TRAINING, HELD_OUT, BASELINE = "#4477aa", "#cc3311", "#228833"


def draw_curve(
    metrics_path: str | os.PathLike[str],
    png_path: str | os.PathLike[str],
    *,
    baseline: float | int | None = None,
    loss: str = "loss (nats a token)",
) -> None:
    """Draws the training and held-out loss over the steps, and a baseline's loss as a horizontal line.

    Args:
      metrics_path: the metrics.jsonl of a run: lines with `step`, `split` ("train", "validation", "test") and
        `loss`.
      png_path: the path of the PNG file that is written.
      baseline: the loss of the baseline, in the unit of the metrics; None: no line is drawn.
      loss: the label of the axis of the loss.

    Raises:
      UsageError: if the metrics contain no loss.
      WriteError: if the picture cannot be written; an older picture at the path then stays.
    """
    from matplotlib.figure import Figure  # imported when drawn: it takes longer than all else here

    lines = _read(Path(metrics_path))
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*_points(lines, "train"), color=TRAINING, linewidth=1.2, label="training")
    marked = {"color": HELD_OUT, "linewidth": 1.8, "markersize": 5}
    axes.plot(*_points(lines, "validation"), marker="o", label="validation", **marked)
    axes.plot(*_points(lines, "test"), marker="D", linestyle="none", label="test", **marked)
    if baseline is not None:
        label = f"baseline, {baseline:.2f}"
        axes.axhline(baseline, color=BASELINE, linestyle="--", linewidth=1.2, label=label)
    axes.set(xlabel="step", ylabel=loss)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path = Path(png_path)
    kind = path.suffix.removeprefix(".") or "png"
    io.write_atomically(path, lambda partial: figure.savefig(partial, format=kind))


def _read(path: Path) -> list[dict[str, Any]]:
    with io.reading_from(path):
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line for text in texts if (line := _parsed(text)) is not None]
    if not lines:
        raise UsageError(f"no loss to draw in {path}: train for at least one step")
    return lines


def _parsed(text: str) -> dict[str, Any] | None:
    """Returns the values of a line that holds the loss of a step; None for any other line."""
    try:
        line = io.parse_json(text)
    except ValueError:
        return None
    is_point = isinstance(line, dict) and type(line.get("step")) is int and isinstance(line.get("split"), str)
    return line if is_point and type(line.get("loss")) in (int, float) else None


def _points(lines: list[dict[str, Any]], split: str) -> tuple[list[int], list[float]]:
    """Returns steps and losses of a split; if a step has several lines, the last one counts."""
    losses = {line["step"]: line["loss"] for line in lines if line["split"] == split}
    return list(losses), list(losses.values())
