"""The length of a run, its intervals, and which checkpoints it keeps."""

import dataclasses

from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The length of a run, its intervals, and which checkpoints it keeps.

    Attributes:
      steps: number of batches to train on.
      batch_size: number of rows of a batch, over all devices and micro-batches together.
      seed: seed of the initial parameters, the order of the rows, the noise and dropout.
      init: the pretrained model that the run starts from: a folder, or a name that `pretrained.load` takes.
        None: the parameters are drawn. `experiment_from_model` makes an experiment that fits a model.
      train_last: for a run with `init`, how many of the last blocks are trained, together with the final norm
        and the head. 0: only the final norm and the head are trained; None: everything is trained.
      log_every: number of steps between two lines of metrics.jsonl.
      eval_every: number of steps between two evaluations on the validation split; 0: evaluate at the end
        only.
      eval_batches: the most batches that an evaluation during training scores, spread evenly over the split;
        0: all batches, as in the final evaluation in any case.
      save_every: number of steps between two checkpoints; 0: save at the end only. A checkpoint is also saved
        at every evaluation.
      keep_last: how many of the latest checkpoints stay.
      keep_best: how many of the checkpoints with the lowest validation loss stay; they may be among the
        latest.
      deterministic: whether a GPU adds numbers in the same order at each run (XLA's deterministic
        operations). Two runs with the same device, driver and JAX then give the same bits. On a CPU they do
        so in any case.
      max_bad_steps: the run stops after this many batches in a row whose loss or gradient was not finite.

    Raises:
      ConfigError: if a value is out of range, or two contradict each other.

    Example:
      >>> from jaxlm.training import RunConfig
      >>> RunConfig(steps=0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: run.steps is at least 1, got 0
    """

    steps: int = 1000
    batch_size: int = 16
    seed: int = 0
    init: str | None = None
    train_last: int | None = None
    log_every: int = 10
    eval_every: int = 200
    eval_batches: int = 16
    save_every: int = 200
    keep_last: int = 2
    keep_best: int = 1
    deterministic: bool = False
    max_bad_steps: int = 20

    def __post_init__(self) -> None:
        check_numbers(self, "run.", wide=("seed",))
        for name in ("steps", "batch_size", "log_every", "keep_last", "max_bad_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"run.{name} is at least 1, got {getattr(self, name)}")
        for name in ("seed", "eval_every", "eval_batches", "save_every", "keep_best", "train_last"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"run.{name} is not negative, got {getattr(self, name)}")
        if self.seed >= 2**32:
            raise ConfigError(f"run.seed is below 2**32, got {self.seed}")
        if self.train_last is not None and self.init is None:
            raise ConfigError(
                f"run.train_last={self.train_last} keeps the other blocks of a pretrained model: got no "
                "run.init; name one"
            )
