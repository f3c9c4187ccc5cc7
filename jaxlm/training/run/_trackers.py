"""Trackers: what shows the numbers of a run in another program, from the run's events."""

import abc
import importlib
import math
import os
from pathlib import Path
from typing import Any, Literal, get_args

from jaxlm import io
from jaxlm.errors import UsageError
from jaxlm.training.run._events import Evaluated, Event, Progress, Sampled, Started
from jaxlm.training.run._experiment import Experiment

TrackerName = Literal["tensorboard", "wandb"]
# The module that each tracker needs.
LIBRARIES: dict[str, str] = {"tensorboard": "tensorboardX", "wandb": "wandb"}
PROGRESS_NUMBERS = ("loss", "accuracy", "learning_rate", "tokens_per_second", "bad_steps")


def event_numbers(event: Event) -> dict[str, float]:
    """Returns the finite numbers of an event by name, such as "train/loss"; empty for an event without any.

    The names begin with "train", "validation" or "test". They belong to `event.step`.

    Args:
      event: what `train` yields.

    Example:
      >>> from jaxlm.training import Progress, event_numbers
      >>> event = Progress(5, 10, 2.5, float("nan"), 1e-3, 900.0, 0)
      >>> event_numbers(event)["train/loss"], "train/accuracy" in event_numbers(event)
      (2.5, False)
    """
    if isinstance(event, Progress):
        values: dict[str, Any] = {name: getattr(event, name) for name in PROGRESS_NUMBERS}
        split = "train"
    elif isinstance(event, Evaluated):
        values, split = event.evaluation.line(event.step, event.split), event.split
        values = {name: value for name, value in values.items() if name != "step"}
    else:
        return {}
    numbers = {name: value for name, value in values.items() if type(value) in (int, float)}
    return {f"{split}/{name}": float(value) for name, value in numbers.items() if math.isfinite(value)}


class Tracker(abc.ABC):
    """Sends the numbers of a run to another program; `open_tracker` makes one.

    Between steps at which metrics.jsonl gets a line (`run.log_every`) a `Progress` is left out, as there.

    Example:
      >>> from jaxlm.training import Progress, Tracker
      >>> class Printer(Tracker):
      ...     def write(self, step, numbers, text):
      ...         print(step, numbers["train/loss"])
      >>> Printer(log_every=10).track(Progress(20, 30, 2.5, 0.5, 1e-3, 900.0, 0))
      20 2.5

    Args:
      log_every: as in `RunConfig`.
    """

    def __init__(self, log_every: int = 1) -> None:
        self._log_every = log_every

    def track(self, event: Event) -> None:
        """Sends an event, if it has numbers or a text.

        Args:
          event: what `train` yields.
        """
        if isinstance(event, Started):
            self.begin(event)
        elif isinstance(event, Progress) and event.step % self._log_every and event.step != event.steps:
            return
        numbers = event_numbers(event)
        text = event.text if isinstance(event, Sampled) else None
        if isinstance(event, (Progress, Evaluated, Sampled)) and (numbers or text is not None):
            self.write(event.step, numbers, text)

    def begin(self, started: Started) -> None:
        """Is called when the run is ready for its first step, or goes on."""
        del started

    @abc.abstractmethod
    def write(self, step: int, numbers: dict[str, float], text: str | None) -> None:
        """Sends numbers by name, or a text that the model wrote.

        Args:
          step: number of batches consumed so far.
          numbers: by name, as `event_numbers` returns them.
          text: of a `Sampled` event; None: there is none.
        """

    def close(self) -> None:
        """Sends what is not sent yet."""
        return


class _TensorBoard(Tracker):
    """Writes the numbers to RUN/tensorboard, which `tensorboard --logdir RUN` shows."""

    def __init__(self, library: Any, folder: Path, experiment: Experiment) -> None:
        super().__init__(experiment.run.log_every)
        self._library, self._folder, self._writer = library, folder / "tensorboard", None

    def begin(self, started: Started) -> None:
        """Opens the file; numbers of steps after the checkpoint from which a run goes on are hidden."""
        self._writer = self._library.SummaryWriter(str(self._folder), purge_step=started.step + 1)

    def write(self, step: int, numbers: dict[str, float], text: str | None) -> None:
        """Writes each number as a scalar, and a text as a text."""
        if self._writer is None:
            raise AssertionError("numbers come after Started")
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        if text is not None:
            self._writer.add_text("sample", text, step)

    def close(self) -> None:
        """Writes what is in memory to the file."""
        if self._writer is not None:
            self._writer.close()


class _Wandb(Tracker):
    """Sends the numbers to Weights & Biases, as a run of the project "jaxlm" or of $WANDB_PROJECT.

    A run that is resumed goes on as the same run there: its id is in RUN/wandb-id.
    """

    def __init__(self, library: Any, folder: Path, experiment: Experiment) -> None:
        super().__init__(experiment.run.log_every)
        self._library, self._folder, self._experiment, self._run = library, folder, experiment, None

    def begin(self, started: Started) -> None:
        """Begins the run, or goes on with it."""
        name = self._folder / "wandb-id"
        known = name.read_text(encoding="utf-8").strip() if name.exists() else None
        self._run = self._library.init(
            project=None if "WANDB_PROJECT" in os.environ else "jaxlm",
            name=self._folder.name,
            dir=str(self._folder),
            id=known,
            resume="allow",
            config=self._experiment.to_dict(),
        )
        if known is None:
            io.write_text(name, f"{self._run.id}\n")

    def write(self, step: int, numbers: dict[str, float], text: str | None) -> None:
        """Sends the numbers of a step, and a text as the value "sample"."""
        if self._run is None:
            raise AssertionError("numbers come after Started")
        self._run.log(numbers | ({} if text is None else {"sample": text}), step=step)

    def close(self) -> None:
        """Ends the run there, after everything was sent."""
        if self._run is not None:
            self._run.finish()


TRACKERS: dict[str, type[_TensorBoard] | type[_Wandb]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
}


def open_tracker(name: str, folder: str | os.PathLike[str], experiment: Experiment) -> Tracker:
    """Returns a tracker for a run; its `track` takes every event of the run, `close` ends it.

    Args:
      name: "tensorboard" (written by tensorboardX to RUN/tensorboard) or "wandb".
      folder: of the run.
      experiment: of the run.

    Raises:
      UsageError: if there is no such tracker, or its library is not installed.

    Example:
      >>> from jaxlm.training import Experiment, open_tracker
      >>> open_tracker("mlflow", "runs/x", Experiment())
      Traceback (most recent call last):
      jaxlm.errors.UsageError: a tracker is one of tensorboard, wandb: got 'mlflow'
    """
    if name not in TRACKERS:
        raise UsageError(f"a tracker is one of {', '.join(get_args(TrackerName))}: got {name!r}")
    try:
        library = importlib.import_module(LIBRARIES[name])
    except ImportError as error:
        raise UsageError(f"tracker {name} needs {LIBRARIES[name]}: pip install 'jaxlm[{name}]'") from error
    return TRACKERS[name](library, Path(folder), experiment)
