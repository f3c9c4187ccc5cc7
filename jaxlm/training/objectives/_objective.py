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

    An objective of your own can be given wherever a name of `OBJECTIVES` can: `Experiment(objective=...)`,
    `evaluate(objective=...)`.

    Attributes:
      name: the objective's name in experiment.json; an objective of your own has a name that is not in
        `OBJECTIVES`.
      kind: the kind of model that it trains.
      prepare: a function `prepare(rng, batch, step, plan) -> LossInputs`, compiled with the step. `rng` is
        the run's mask key, the same one in every step: draw by (epoch, example id, offset), so that batch
        size, devices and resuming change no draw. `step` is the number of batches before this one, 0 in
        evaluations.
      loss: a function: `loss(head: HeadCall, inputs: LossInputs, config: LossConfig)` returns a mapping of
        sums by name: `loss_sum`, the sum of the losses times their weights, and any other sums.
      evaluation: the function that takes the place of `loss` in evaluations; it may return more sums. None:
        `token_evaluation` if `loss` is `token_loss`, else `loss`.
      plan: a function: `plan(setting: Setting)` returns the last argument of `prepare`, computed on the host.
        By default it returns the setting itself.
      check: a function: `check(experiment)` raises ConfigError if the experiment contradicts the objective.
      summary: a function: `summary(setting, *, train, is_whole)` returns a function from the sums of a split
        to the scores that are shown and written.
      labels: the kind of label that is learned: "classes" or "numbers"; None: the objective learns no labels.
      noise_rate: the share of tokens to corrupt if the experiment gives no rate. If it is above 0, corruption
        is part of the objective and evaluations corrupt too; else evaluations read clean text.
      reads: which options of an experiment the objective uses, names of `READ_FIELDS`; the command line
        refuses the other ones.
      reference: "module:NAME", from where the objective is imported if a run is opened and the objective is
        not given. None: the objective must be given to open the run.

    Raises:
      ConfigError: if the name is empty, the kind is no `ModelKind` or the reference does not have the form
        "module:NAME".

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
        """Returns the loss function of this objective for a model and its data.

        Args:
          setting: the model, tokenizer and data; its `is_evaluation` chooses between `loss` and `evaluation`.
          log_unigrams: `Float[V]`, log-probabilities of the ids' frequencies from `unigram_log_probs`, a
            baseline that is scored at the same positions; None: there is no baseline.

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
