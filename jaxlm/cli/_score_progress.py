"""How far a scoring job is, on stderr: a live line on a terminal, plain lines elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from jaxlm import scoring
from jaxlm.cli._output import LINE_SECONDS, duration


class ScoreDisplay:
    """Shows the events of a job while it is entered.

    Example:
        >>> with ScoreDisplay() as display:
        ...     pass
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._said = time.monotonic()

    def __enter__(self) -> "ScoreDisplay":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: scoring.JobProgress | scoring.JobFinished) -> None:
        """Shows one event."""
        if isinstance(event, scoring.JobFinished):
            if event.skipped:
                self._line(f"{event.skipped:,} parts were there already")
            self._line(f"scored {told(event.progress._replace(seconds_left=None))}")
        elif self._console.is_terminal:
            self._advance(event)
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            self._line(told(event))

    def _advance(self, event: scoring.JobProgress) -> None:
        if self._bar is None:
            columns = (BarColumn(bar_width=20), TextColumn("{task.fields[told]}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("", total=event.estimate, told="")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=event.position, told=told(event))

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.stop()
        print(text, file=sys.stderr, flush=True)


def told(progress: scoring.JobProgress) -> str:
    """Returns how far a job is, on one line.

    Example:
        >>> told(scoring.JobProgress(50, 1, 4000, 2, 50, 100, 10.0, 10.0, 0.0123))
        '50 documents (1 without a score)  5.0 documents/s  400 tokens/s  1.2 % padding  10 s left'
    """
    failed = f" ({progress.errors:,} without a score)" if progress.errors else ""
    seconds = max(progress.seconds, 1e-9)
    said = [f"{progress.documents:,} documents{failed}", f"{progress.documents / seconds:,.1f} documents/s"]
    if progress.tokens:
        said.append(f"{progress.tokens / seconds:,.0f} tokens/s")
    if progress.padding_share is not None:
        said.append(f"{progress.padding_share:.1%} padding".replace("%", " %"))
    if progress.seconds_left:
        said.append(f"{duration(progress.seconds_left)} left")
    return "  ".join(said)
