"""How far a scoring job is, on stderr: a live line on a terminal, plain lines elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from jaxlm import scoring
from jaxlm.cli._output import LINE_SECONDS, LINE_WIDTH, duration

# Columns of the bar, and of the space beside it.
PROGRESS_WIDTH = 10


class ScoreDisplay:
    """Shows the events of a job between `with` and its end.

    Example:
      >>> from jaxlm.cli._score_progress import ScoreDisplay
      >>> with ScoreDisplay() as display:
      ...     pass
    """

    def __init__(self) -> None:
        self._console = Console(
            stderr=True, markup=False, highlight=False, soft_wrap=True, force_jupyter=False
        )
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

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
            self._line(progress_line(event.progress._replace(seconds_left=None), begin="scored "))
        elif self._console.is_terminal:
            self._advance(event)
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._last_line = time.monotonic()
            self._line(progress_line(event))

    def _advance(self, event: scoring.JobProgress) -> None:
        if self._bar is None:
            columns = (BarColumn(bar_width=PROGRESS_WIDTH), TextColumn("{task.fields[line]}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("", total=event.estimate, line="")
            self._bar.start()
        # One column between the bar and the line, and one that terminals need at the end.
        line = progress_line(event, width=self._console.width - PROGRESS_WIDTH - 2)
        self._bar.update(self._bar.task_ids[0], completed=event.position, line=line)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.stop()
        print(text, file=sys.stderr, flush=True)


def progress_line(progress: scoring.JobProgress, *, begin: str = "", width: int = LINE_WIDTH) -> str:
    """Returns how far a job is, on one line; what is least needed is left out of a line that is too long.

    Args:
      progress: of the job.
      begin: what the line begins with.
      width: the most characters of the line.

    Example:
      >>> from jaxlm import scoring
      >>> from jaxlm.cli._score_progress import progress_line
      >>> progress = scoring.JobProgress(50, 1, 4000, 2, 50, 100, 10.0, 10.0, 0.0123)
      >>> progress_line(progress)
      '50 documents (1 without a score), 5.0/s, 400 tokens/s, 1.2 % padding, 10 s left'
      >>> progress_line(progress, width=60)
      '50 documents (1 without a score), 400 tokens/s, 10 s left'
    """
    failed = f" ({progress.errors:,} without a score)" if progress.errors else ""
    seconds = max(progress.seconds, 1e-9)
    facts = {"documents": f"{begin}{progress.documents:,} documents{failed}"}
    if progress.documents:
        facts["rate"] = f"{progress.documents / seconds:,.1f}/s"
    if progress.tokens:
        facts["tokens"] = f"{progress.tokens / seconds:,.0f} tokens/s"
    if progress.padding_share is not None and progress.documents:
        facts["padding"] = f"{progress.padding_share:.1%} padding".replace("%", " %")
    if progress.seconds_left:
        facts["left"] = f"{duration(progress.seconds_left)} left"
    for fact in ("padding", "rate", "tokens"):
        if len(", ".join(facts.values())) > width:
            facts.pop(fact, None)
    return ", ".join(facts.values())
