"""The events that `train` yields."""

from typing import NamedTuple

from jaxlm.models import Evaluation, SequenceEvaluation


class Started(NamedTuple):
    """The run is ready for its first step.

    Attributes:
      folder: of the run.
      params: how many parameters the model has.
      step: batches consumed before; above 0 if the run is resumed.
      steps: of the whole run.
      tokens_per_step: positions of a batch, padding included.
      devices: a description of the devices.
      epochs: passes over the training split in the whole run.
      notes: lines about the data and the model that the user should know.
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
    """A step is done. Its numbers are means over the steps since the last line of metrics.jsonl.

    Attributes:
      step: batches consumed.
      steps: of the whole run.
      loss: mean loss of the targets (nats, or squared error in variances of the labels); NaN without targets.
      accuracy: share of the targets that were the most likely; NaN for a regression.
      learning_rate: of the last update.
      tokens_per_second: without padding; NaN before any time is measured.
      bad_steps: batches of this run so far whose loss or gradient was not finite.
    """

    step: int
    steps: int
    loss: float
    accuracy: float
    learning_rate: float
    tokens_per_second: float
    bad_steps: int


class Evaluated(NamedTuple):
    """A split was evaluated.

    Attributes:
      step: batches consumed.
      split: "validation" or "test".
      evaluation: the scores.
    """

    step: int
    split: str
    evaluation: Evaluation | SequenceEvaluation


class Compiled(NamedTuple):
    """The training step is compiled and the first one begins; from now on there is something to save.

    Attributes:
      step: batches consumed so far.
    """

    step: int


class Saved(NamedTuple):
    """A checkpoint is complete on disk.

    Attributes:
      step: batches consumed when it was taken.
      path: its folder.
    """

    step: int
    path: str


class Warned(NamedTuple):
    """Something went wrong, and the run continues; `message` is one line."""

    message: str


class Noted(NamedTuple):
    """Something the user may want to know, such as which attention kernel is used; `message` is one line."""

    message: str


class Stopped(NamedTuple):
    """A signal stopped the run, which is saved. It is the last event.

    Attributes:
      step: batches consumed.
      signal: the signal's number.
    """

    step: int
    signal: int


class Finished(NamedTuple):
    """The run is complete and the model is in its folder. It is the last event.

    Attributes:
      step: batches consumed.
      folder: of the run.
      evaluation: of the whole test split; None where nothing in it is scored.
      split: the name of the split.
      seconds: since this process started or resumed the run.
    """

    step: int
    folder: str
    evaluation: Evaluation | SequenceEvaluation | None
    split: str
    seconds: float


Event = Started | Compiled | Progress | Evaluated | Saved | Warned | Noted | Stopped | Finished
"""What `train` yields; `Finished` or `Stopped` is the last."""
