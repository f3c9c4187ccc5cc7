"""The events that `train` yields."""

from typing import NamedTuple

from jaxlm.models import Evaluation, SequenceEvaluation


class Started(NamedTuple):
    """The run is ready for its first step.

    Attributes:
      folder: the folder of the run.
      params: number of parameters of the model.
      step: number of batches that the run consumed before; above 0 if it is resumed.
      steps: number of steps of the whole run.
      tokens_per_step: number of positions of a batch, padding included.
      devices: a description of the devices, for the user.
      epochs: number of passes over the training split in the whole run; it need not be whole.
      notes: lines of text about the data and the model that the user should know.
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
      step: number of batches consumed so far.
      steps: number of steps of the whole run.
      loss: mean loss of the targets, in nats; for a regression, the squared error divided by the variance of
        the labels. NaN if there were no targets.
      accuracy: share of the targets that were the most likely prediction; NaN for a regression.
      learning_rate: the learning rate of the last update.
      tokens_per_second: tokens trained on per second, without padding; NaN before any time is measured.
      bad_steps: number of batches of this run so far whose loss or gradient was not finite.
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
      step: number of batches consumed so far.
      split: "validation" or "test".
      evaluation: the scores on the split.
    """

    step: int
    split: str
    evaluation: Evaluation | SequenceEvaluation


class Sampled(NamedTuple):
    """The model wrote a text, after an evaluation on the validation split.

    Attributes:
      step: number of batches consumed so far.
      text: what `write_sample` returned.
    """

    step: int
    text: str


class Compiled(NamedTuple):
    """The training step is compiled and the first one begins; from now on there is something to save.

    Attributes:
      step: number of batches consumed so far.
    """

    step: int


class Saved(NamedTuple):
    """A checkpoint is complete on disk; `train` yields this after the checkpoint got its final name.

    Attributes:
      step: number of batches consumed when it was taken.
      path: the folder of the checkpoint.
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
      step: number of batches consumed so far.
      signal: the number of the signal, such as 15 for SIGTERM.
    """

    step: int
    signal: int


class Finished(NamedTuple):
    """The run is complete and the model is in its folder. It is the last event.

    Attributes:
      step: number of batches consumed so far.
      folder: the folder of the run.
      evaluation: the scores on the whole test split; None if nothing in it is scored.
      split: the name of the split.
      seconds: seconds since this process started or resumed the run.
    """

    step: int
    folder: str
    evaluation: Evaluation | SequenceEvaluation | None
    split: str
    seconds: float


Event = Started | Compiled | Progress | Evaluated | Sampled | Saved | Warned | Noted | Stopped | Finished
"""What `train` yields; `Finished` or `Stopped` is the last."""
