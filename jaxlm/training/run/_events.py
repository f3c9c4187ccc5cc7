"""What a run tells while it runs."""

from typing import NamedTuple

from jaxlm.models import Evaluation, SequenceEvaluation


class Started(NamedTuple):
    """The run is ready for its first step.

    Attributes:
      folder: of the run.
      params: how many parameters the model has.
      step: batches consumed before; more than 0 where the run goes on.
      steps: of the whole run.
      tokens_per_step: positions of a batch, padding included.
      devices: what computes, in words.
      epochs: passes over the training split that the whole run makes.
      notes: what the user should know of the data and the model, a line each.
    """

    folder: str
    params: int
    step: int
    steps: int
    tokens_per_step: int
    devices: str
    epochs: float
    notes: tuple[str, ...]


class Progress(NamedTuple):
    """A step is done; what it reports is over the steps since the last line of metrics.jsonl.

    Attributes:
      step: batches consumed.
      steps: of the whole run.
      loss: mean over what was scored (nats, or squared error in variances of the labels); NaN where nothing
        was.
      accuracy: share of what was scored that was right; NaN for a regression.
      learning_rate: of the last update.
      tokens_per_second: real tokens; NaN at first.
      bad_steps: batches of this run so far that were not finite.
    """

    step: int
    steps: int
    loss: float
    accuracy: float
    learning_rate: float
    tokens_per_second: float
    bad_steps: int


class Evaluated(NamedTuple):
    """A split was evaluated after `step` batches."""

    step: int
    split: str
    evaluation: Evaluation | SequenceEvaluation


class Compiled(NamedTuple):
    """The program of a step is compiled, and the first one begins: from here on there is something to save.

    Attributes:
      step: batches consumed so far.
    """

    step: int


class Saved(NamedTuple):
    """A checkpoint is complete on disk."""

    step: int
    path: str


class Warned(NamedTuple):
    """Something went wrong and the run goes on; `message` is one line."""

    message: str


class Noted(NamedTuple):
    """Something that the user may want to know, such as which attention is computed how; one line."""

    message: str


class Stopped(NamedTuple):
    """A signal stopped the run after `step` batches; it is saved. The run ends with this event."""

    step: int
    signal: int


class Finished(NamedTuple):
    """The run is complete and the model is in its folder. The run ends with this event.

    Attributes:
      step: batches consumed.
      folder: of the run.
      evaluation: of all of the test split; None where nothing is scored in it.
      split: its name.
      seconds: since the start of the process's part of the run.
    """

    step: int
    folder: str
    evaluation: Evaluation | SequenceEvaluation | None
    split: str
    seconds: float


Event = Started | Compiled | Progress | Evaluated | Saved | Warned | Noted | Stopped | Finished
