"""The progress of training, on stderr: a live bar on a terminal, plain lines elsewhere."""

import math
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from jaxlm import training
from jaxlm.cli._output import LINE_SECONDS, LINE_WIDTH, duration

# Without a terminal this many lines are printed, and one every `LINE_SECONDS` at least.
NUM_LINES = 20


class TrainDisplay:
    """Shows the events of a run between `with` and its end.

    Example:
      >>> from jaxlm import training
      >>> from jaxlm.cli._progress import TrainDisplay
      >>> with TrainDisplay() as display:
      ...     display.show(training.Warned("checkpoint 10 is damaged"))
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._waiting: Status | None = None
        self._bar: Progress | None = None
        self._began, self._first = 0.0, 0
        self._last_line = (0, time.monotonic())

    def __enter__(self) -> "TrainDisplay":
        if self._console.is_terminal:
            self._waiting = self._console.status(
                "preparing the corpus and the tokenizer (kept for the next run)"
            )
            self._waiting.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for live in (self._waiting, self._bar):
            if live is not None:
                live.stop()

    def line(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._console.is_terminal:
            self._console.print(Text(text))
        else:
            print(text, file=sys.stderr, flush=True)

    def show(self, event: training.Event) -> None:
        """Shows one event."""
        match event:
            case training.Started():
                self._start(event)
            case training.Progress():
                self._advance(event)
            case training.Evaluated(split="validation"):
                self.line(_evaluated(event))
            case training.Sampled():
                self.line(f"  it writes: {_shortened(event.text)}")
            case training.Noted():
                self.line(f"  {' '.join(event.message.split())}")
            case training.Warned():
                self.line(f"warning: {' '.join(event.message.split())}")

    def _start(self, event: training.Started) -> None:
        if self._waiting is not None:
            self._waiting.stop()
        for note in event.notes:
            self.line(f"  {note}")
        self.line(
            f"  model: {event.params:,} parameters, on {event.devices}; {event.steps:,} steps of "
            f"{event.tokens_per_step:,} tokens ({event.epochs:.1f} epochs)"
        )
        if event.step:
            self.line(f"going on from step {event.step}")
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(bar_width=None),
                TextColumn("loss {task.fields[loss]}  {task.fields[speed]} tokens/s "),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
                expand=True,
            )
            self._bar.add_task("", total=event.steps, completed=event.step, loss="-", speed="-")
            self._bar.start()

    def _advance(self, event: training.Progress) -> None:
        # It is NaN before any time was measured.
        speed = f"{event.tokens_per_second:,.0f}" if event.tokens_per_second > 0 else "-"
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=event.step, loss=f"{event.loss:.3f}", speed=speed)
            return
        step, at = self._last_line
        now = time.monotonic()
        if not self._began:
            # The first step compiles: its time says nothing about the others.
            self._began, self._first = now, event.step
        if (
            event.step == event.steps
            or event.step - step >= event.steps / NUM_LINES
            or now - at >= LINE_SECONDS
        ):
            self._last_line = event.step, now
            line = f"step {event.step}/{event.steps}  loss {event.loss:.3f}"
            if event.step > self._first:
                left = (now - self._began) / (event.step - self._first) * (event.steps - event.step)
                line += f"  {speed} tokens/s  {duration(left)} left"
            self.line(line)


def _shortened(text: str) -> str:
    """Returns the beginning of a text on one line of the narrowest terminal, line breaks as `\\n`."""
    words = text.replace("\n", "\\n")
    most = LINE_WIDTH - len("  it writes: ")
    return words if len(words) <= most else words[: most - 1] + "…"


def _evaluated(event: training.Evaluated) -> str:
    scores = event.evaluation
    if isinstance(scores, training.Evaluation):
        unit, name, baseline = " nats", "unigram baseline", scores.unigram_nll
    else:
        unit, name, baseline = "", "labels only", scores.baseline_loss
    right = f", accuracy {scores.accuracy:.1%}" if scores.accuracy == scores.accuracy else ""
    line = f"step {event.step}  held-out loss {scores.loss:.3f}{unit}{right}"
    if math.isnan(baseline):
        return line
    beside = f"; {name} {baseline:.3f}{unit}"
    # A line that is too long for the narrowest terminal goes on in the next one.
    return line + beside if len(line + beside) <= LINE_WIDTH else f"{line}\n  {beside[2:]}"
