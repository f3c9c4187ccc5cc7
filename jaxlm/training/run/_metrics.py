"""Training metrics: sums over the steps since the last line of metrics.jsonl, and the file itself."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io

METRICS = "metrics.jsonl"
# The fields of a line that are shown and plotted.
SCORES = ("loss", "perplexity", "accuracy", "bits_per_byte")


class MetricsWindow(NamedTuple):
    """Sums over the steps since the last line of metrics.jsonl, as Python numbers, so that counts are exact.

    Attributes:
      steps: number of steps.
      bad: how many of them were not finite; those count in `steps` and `tokens` only.
      loss_sum: sum of the losses of the targets (positions or records), each times its weight.
      scored: number of targets.
      correct: number of targets that were the most likely; NaN for a regression.
      tokens: tokens read, without padding.
      overflow: targets that were dropped because a static size was too small.
      grad_norm_sum: sum of the gradients' norms.
      timed_tokens: tokens of the steps whose time was measured. The first step after a pause is not: it may
        include compilation.
      seconds: time of these steps.
      weight: sum of the weights of the targets. None, as in checkpoints of earlier versions: each target
        weighs 1.
    """

    steps: int = 0
    bad: int = 0
    loss_sum: float = 0.0
    scored: int = 0
    correct: float = 0
    tokens: int = 0
    overflow: int = 0
    grad_norm_sum: float = 0.0
    timed_tokens: int = 0
    seconds: float = 0.0
    weight: float | None = None

    def add(self, metrics: Mapping[str, Any], seconds: float | None) -> "MetricsWindow":
        """Returns the window with a step added.

        Args:
          metrics: of the step, on the host; see `make_train_step`.
          seconds: since the step before; None where the step is not timed.
        """
        tokens = int(metrics["tokens"])
        return MetricsWindow(
            steps=self.steps + 1,
            bad=self.bad + int(metrics["bad"]),
            loss_sum=self.loss_sum + float(metrics["loss_sum"]),
            scored=self.scored + int(metrics.get("scored", metrics["weight"])),
            correct=self.correct + float(metrics.get("correct", math.nan)),
            tokens=self.tokens + tokens,
            overflow=self.overflow + int(metrics["overflow"]),
            grad_norm_sum=self.grad_norm_sum + float(metrics["grad_norm"]),
            timed_tokens=self.timed_tokens + (0 if seconds is None else tokens),
            seconds=self.seconds + (seconds or 0.0),
            weight=(self.scored if self.weight is None else self.weight) + float(metrics["weight"]),
        )

    @property
    def loss(self) -> float:
        """Mean loss of the targets; NaN without targets."""
        weight = self.scored if self.weight is None else self.weight
        return self.loss_sum / weight if weight else math.nan

    @property
    def accuracy(self) -> float:
        """Share of the targets that were the most likely; NaN without targets."""
        return self.correct / self.scored if self.scored else math.nan

    @property
    def grad_norm(self) -> float:
        """Mean norm of the finite gradients; NaN without one."""
        good = self.steps - self.bad
        return self.grad_norm_sum / good if good else math.nan

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second, without padding; NaN before any time was measured."""
        return self.timed_tokens / self.seconds if self.seconds > 0 else math.nan

    def line(self, step: int, learning_rate: float) -> dict[str, Any]:
        """Returns the line of metrics.jsonl for the steps up to `step`.

        Example:
          >>> from jaxlm.training.run._metrics import MetricsWindow
          >>> MetricsWindow(steps=2, loss_sum=6.0, scored=4, correct=1, tokens=30).line(10, 0.1)["loss"]
          1.5
        """
        return {
            "step": step,
            "split": "train",
            "loss": self.loss,
            "accuracy": self.accuracy,
            "scored": self.scored,
            "tokens": self.tokens,
            "overflow": self.overflow,
            "bad_steps": self.bad,
            "grad_norm": self.grad_norm,
            "learning_rate": learning_rate,
            "seconds": round(self.seconds, 4),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }


def append_line(folder: Path, line: Mapping[str, Any]) -> None:
    """Appends one JSON line to a run's metrics.jsonl; NaN and infinities become null.

    Args:
      folder: of the run.
      line: values by name.

    Raises:
      WriteError: if the file cannot be written.
    """
    finite = {name: None if _not_finite(value) else value for name, value in line.items()}
    path = folder / METRICS
    with io.writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(finite) + "\n")


def truncate_metrics(folder: Path, step: int) -> None:
    """Removes the lines after `step` from a run's metrics.jsonl, and a partial line that a kill left.

    The line of the final evaluation is always removed, since it comes after the last checkpoint. The line of
    a changed field is kept, as if the change had been made at `step`: the field stays changed.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.training import read_metrics
      >>> from jaxlm.training.run._metrics import append_line, truncate_metrics
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> for at in (10, 20, 30):
      ...     append_line(folder, {"step": at})
      >>> truncate_metrics(folder, 20)
      >>> read_metrics(folder)
      [{'step': 10}, {'step': 20}]
    """
    lines = [
        line | {"step": min(line["step"], step)} if "changed" in line else line
        for line in read_metrics(folder)
    ]
    kept = [line for line in lines if line["step"] <= step and line.get("split") != "test"]
    io.write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in kept))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's metrics.jsonl as dicts, in order; malformed lines are left out."""
    path = folder / METRICS
    if not path.exists():
        return []
    with io.reading_from(path):
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = []
    for text in texts:
        try:
            line = io.parse_json(text)
        except ValueError:
            continue
        if _is_whole(line):
            lines.append(line)
    return lines


def _is_whole(line: Any) -> bool:
    """Whether a line is well formed: an integer step, a split's name, and scores that are numbers."""
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return False
    scores = (line.get(name) for name in SCORES)
    is_named = isinstance(line.get("split", ""), str)
    return is_named and all(score is None or _is_number(score) for score in scores)


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
