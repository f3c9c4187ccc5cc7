"""The record of a training objective: its inputs, loss, metrics and checks."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from jaxlm import models
from jaxlm.errors import ConfigError
from jaxlm.training.losses import (
    HeadSums,
    LossFunction,
    LossInputs,
    Setting,
    loss_function,
    token_evaluation,
    token_loss,
    token_summary,
    with_unigrams,
)

# The fields of an experiment that only some objectives use; `Objective.reads` names those of one.
READ_FIELDS = frozenset({"input_noise", "target_noise", "spans", "label_smoothing", "z_loss"})


def _identity(setting: Setting) -> Setting:
    return setting


def _no_check(experiment: Any) -> None:
    del experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """A training objective: the kind of model, its inputs and targets for a batch, its loss and its metrics.

    An objective of your own goes wherever a name of `OBJECTIVES` does: `Experiment(objective=...)`,
    `evaluate(objective=...)`.

    Attributes:
      name: its name in experiment.json; an objective of your own has a name that is not in `OBJECTIVES`.
      kind: of the model that it trains.
      prepare: `prepare(rng, batch, step, plan) -> LossInputs`, compiled with the step. `rng` is the run's
        mask key, the same at every step: draw by (epoch, example id, offset), so that batch size, devices and
        resuming change no draw. `step` counts batches; it is 0 in evaluations.
      loss: `loss(head: HeadCall, inputs: LossInputs, config: LossConfig)` returns sums by name: `loss_sum`,
        the sum of the losses times their weights, and any other sums.
      evaluation: the same for evaluations, which may count more. None: `token_evaluation` where `loss` is
        `token_loss`, else `loss`.
      plan: `plan(setting: Setting)` returns the last argument of `prepare`, computed on the host; by default
        the setting itself.
      check: `check(experiment)` raises ConfigError for an experiment that contradicts the objective.
      summary: `summary(setting, *, train, is_whole)` returns the function from the sums of a split to the
        scores that are shown and written.
      labels: the kind of label that it learns: "classes", "numbers", or None for no labels.
      noise_rate: the share of tokens to corrupt where the experiment gives none. If it is above 0, corruption
        is part of the objective and evaluations corrupt too; else evaluations read clean text.
      reads: the names of `READ_FIELDS` that it uses; the command line refuses options that it does not use.
      reference: "module:NAME", from where it is imported when a run is opened without it; None: whoever opens
        the run gives the objective.

    Raises:
      ConfigError: if the name is empty, the kind is no `ModelKind` or the reference is not "module:NAME".

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.training import Objective, token_loss
      >>> from jaxlm.training import prepare_next
      >>> objective = Objective(name="clean", kind=models.CAUSAL_LM, prepare=prepare_next, reads=frozenset())
      >>> objective.loss is token_loss, objective.labels
      (True, None)
    """

    name: str
    kind: models.ModelKind
    prepare: Callable[..., LossInputs]
    loss: HeadSums = token_loss
    evaluation: HeadSums | None = None
    plan: Callable[[Setting], Any] = _identity
    check: Callable[[Any], None] = _no_check
    summary: Callable[..., Callable[..., Any]] = token_summary
    labels: Literal["classes", "numbers"] | None = None
    noise_rate: float = 0.0
    reads: frozenset[str] = READ_FIELDS
    reference: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"an objective has a name: got {self.name!r}")
        if self.reference is not None and self.reference.count(":") != 1:
            raise ConfigError(f"a reference is module:NAME: got {self.reference!r}")
        if not isinstance(self.kind, models.ModelKind):
            raise ConfigError(f"an objective trains a ModelKind: got {self.kind!r}")

    def bound(self, setting: Setting, *, log_unigrams: np.ndarray | None = None) -> LossFunction:
        """Returns the loss function for a model and its data.

        Args:
          setting: model, tokenizer and data; `is_evaluation` chooses between `loss` and `evaluation`.
          log_unigrams: the unigram baseline, see `token_loss_function`.

        Raises:
          ValueError: if there is nothing to predict, or the setting contradicts the objective.
        """
        plan, sums = self.plan(setting), self.loss
        if setting.is_evaluation:
            default = token_evaluation if self.loss is token_loss else self.loss
            sums = self.evaluation or default
        return loss_function(
            lambda rng, batch, step: self.prepare(rng, batch, step, plan),
            with_unigrams(partial(sums, config=setting.loss), log_unigrams),
            deterministic=setting.is_evaluation,
            splits_dropout=self.kind.sequence_outputs,
        )
